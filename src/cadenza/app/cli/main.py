"""The command line: one file a verb. Importing this module loads Typer, nothing of music; verbs load what they need."""

from __future__ import annotations

import sys

import typer

from cadenza.app.cli import (
    compose,
    convert,
    corpus,
    diff,
    doctor,
    evaluate,
    info,
    leaderboard,
    model,
    render,
    sweep,
    train,
    transcribe,
)

app = typer.Typer(
    name="cadenza",
    help="Teaches language models music: convert, inspect, continue and render scores and tabs.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("convert")(convert.convert)
app.command("diff")(diff.diff)
app.command("info")(info.info)
app.command("compose")(compose.compose)
app.command("render")(render.render)
app.command("transcribe")(transcribe.transcribe)
app.add_typer(corpus.app, name="corpus")
app.command("train")(train.train)
app.command("sweep")(sweep.sweep)
app.add_typer(model.app, name="model")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(leaderboard.app, name="leaderboard")
app.command("doctor")(doctor.doctor)


@app.callback(invoke_without_command=True)
def _root(version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if version:
        from cadenza import __version__

        typer.echo(f"cadenza {__version__}")
        raise typer.Exit


def main() -> None:
    """Run; a :class:`~cadenza.base.errors.CadenzaError` is one line on standard error and exit status 2."""
    from cadenza.base.errors import CadenzaError

    try:
        app()
    except CadenzaError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except KeyboardInterrupt:
        typer.echo("interrupted; what was finished is kept", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
