"""``cadenza model merge|export|card|push``: from a training run to a model that others can use."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(help="Make a usable model of a training run.", no_args_is_help=True)

_RUN = typer.Argument(..., metavar="RUN", help="Folder of a training run, or of a model.")


@app.command("merge")
def merge(
    run: Path = _RUN,
    out: Path = typer.Option(..., "-o", "--out", help="Folder for the merged model."),
    base: str = typer.Option("", "--base", help="Where the base lies now, if not where the run found it."),
) -> None:
    """Merge a run's adapter into its base: plain safetensors that need no peft."""
    from cadenza.train import export as exporting

    typer.echo(f"{exporting.merge(run, out, base)}: merged")


@app.command("export")
def export(
    run: Path = _RUN,
    out: Path = typer.Option(..., "-o", "--out", help="Folder for the model that composes without torch."),
    precision: str = typer.Option("int8", "--precision", help="int8 or float32."),
) -> None:
    """Export to the engine that runs without torch, and compare its answers with the weights'."""
    from cadenza.train import export as exporting

    found = exporting.export(run, out, precision)
    typer.echo(
        f"{out}: exported; log-probabilities differ by {found['mean_difference']:.2g} nats on average, "
        f"{found['largest_difference']:.2g} at most"
    )


@app.command("card")
def card(
    run: Path = _RUN,
    corpus: Path | None = typer.Option(None, "--corpus", help="The corpus, for its licences and attributions."),
) -> None:
    """Write the model card: data, licences, attributions, training command, scores."""
    from cadenza.train import export as exporting

    typer.echo(f"{exporting.write_card(run, corpus)}")


@app.command("push")
def push(
    folder: Path = _RUN,
    name: str = typer.Argument(..., metavar="OWNER/NAME", help="Where to, on the hub."),
    public: bool = typer.Option(False, "--public", help="Let everybody see it."),
) -> None:
    """Upload a model to a hub. Nothing is ever uploaded otherwise."""
    from cadenza.train import export as exporting

    typer.echo(exporting.push(folder, name, private=not public))
