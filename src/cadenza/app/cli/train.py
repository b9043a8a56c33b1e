"""``cadenza train``: fine-tune any causal model on a corpus, or train a small one from scratch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer


def train(
    recipe: str = typer.Argument(..., metavar="RECIPE", help="A recipe's file, or the name of a shipped one."),
    out: Path | None = typer.Option(
        None, "-o", "--out", help="Folder of the run; starting again goes on where it was."
    ),
    base: str = typer.Option("", "--from", help="To go on from: shipped, a run, a folder or a hub id (--set base=…)."),
    settings: list[str] = typer.Option([], "--set", help="key=value or part.key=value; may be given again."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Say steps, tokens, seconds of music and memory; train not."),
    preview: int = typer.Option(0, "--preview", min=0, help="Show so many rows; what is learned is marked. Train not."),
    as_json: bool = typer.Option(False, "--json", help="With --dry-run: machine-readable."),
) -> None:
    """Train as RECIPE says: from scratch, in full, LoRA or QLoRA; stopped runs go on where they were."""
    from cadenza.base.config import load_config
    from cadenza.base.errors import ConfigError
    from cadenza.base.recipes import find
    from cadenza.train.recipe import TrainConfig

    arguments = [str(find(recipe, "train"))]
    for setting in [f"base={base}"] * bool(base) + settings:
        arguments += ["--set", setting]
    config = load_config(TrainConfig, arguments)
    if out is None and not (dry_run or preview):
        raise ConfigError("a folder for the run", "none", hint="Give -o DIR.")
    _needs_extra()
    from cadenza.train import run

    if not dry_run and not preview:
        assert out is not None
        with progress_bar() as (say, live):
            run.train(config, out, say, live)
        return
    if config.listen.is_on:
        raise ConfigError("a recipe that reads", "one that listens", where="--dry-run and --preview", hint="Train it.")
    prepared = run.prepare(config, say=typer.echo)
    if dry_run:
        _say_outlook(prepared, as_json)
    for number, row in enumerate(run.preview(prepared, preview), 1):
        typer.secho(f"row {number}", bold=True)
        for text, learned in row:
            typer.secho(text, fg="green" if learned else None, underline=learned, nl=False)
        typer.echo()


@contextmanager
def progress_bar() -> Iterator[tuple[Callable[[str], None], Callable[[int, int, str], None] | None]]:
    """(takes a line, takes a step): a bar that moves where somebody watches; lines alone in a file or a pipe."""
    from rich.console import Console

    console = Console()
    if not console.is_terminal:
        yield typer.echo, None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(BarColumn(bar_width=24), TextColumn("{task.completed:,}/{task.total:,}  {task.fields[said]}"))
    with bar:
        task = bar.add_task("training", total=None, said="", visible=False)

        def live(step: int, n_steps: int, said: str) -> None:
            bar.update(task, completed=step, total=n_steps, said=said, visible=True)

        def say(line: str) -> None:
            bar.console.print(line, markup=False, highlight=False)

        yield say, live


def _needs_extra() -> None:
    """Say what is missing before anything heavy is loaded."""
    from importlib.util import find_spec

    from cadenza.base.errors import MissingExtraError

    missing = [name for name in ("torch", "transformers", "peft", "accelerate", "pyarrow") if find_spec(name) is None]
    if missing:
        raise MissingExtraError(", ".join(missing), "not installed", hint="pip install 'cadenza[train]'")


def _say_outlook(prepared: object, as_json: bool) -> None:
    import json

    from cadenza.train import memory, run

    found = run.outlook(prepared)  # type: ignore[arg-type]
    parts = memory.estimate_of(prepared)  # type: ignore[arg-type]
    if as_json:
        typer.echo(json.dumps({**found, "memory_bytes": parts.as_dict()}, indent=1))
        return
    for name, value in found.items():
        said = f"{value:,.3g}" if isinstance(value, float) and value < 100 else f"{value:,.0f}"
        typer.echo(f"{name.replace('_', ' ')}: {said}")
    typer.secho("memory estimate", bold=True)
    for name, n_bytes in parts.as_dict().items():
        typer.echo(f"  {name.replace('_', ' '):>24} {n_bytes / 2**30:8.2f} GiB")
