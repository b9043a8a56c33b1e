"""``cadenza compose FILE -o OUT``: a musician's piece, continued."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import typer


def compose(
    file: Path = typer.Argument(..., metavar="FILE", help="The piece to continue."),
    out: list[Path] = typer.Option(
        ..., "-o", "--out", help="File to write; its suffix says the format. May be given again."
    ),
    bars: int = typer.Option(8, "--bars", help="Bars to write."),
    takes: int = typer.Option(
        1, "--takes", min=1, max=100, help="Different continuations; files get -1, -2, … in their names."
    ),
    seed: int = typer.Option(0, "--seed", min=0, help="The same seed gives the same music."),
    temperature: float = typer.Option(1.0, "--temperature", help="0 = always the likeliest."),
    top_p: float = typer.Option(0.95, "--top-p", help="Draw from the likeliest that together reach this."),
    model: str = typer.Option(
        "shipped", "--model", help="A model folder or hub id, or the one that comes with cadenza."
    ),
    adapter: str = typer.Option(
        "", "--adapter", help="Folder of an adapter on top (without --model: on its own base)."
    ),
    quantize: str = typer.Option("", "--quantize", help="nf4 or int8: smaller weights for big models."),
) -> None:
    """Continue a piece: same tracks, tempo, metre and tuning; the seed stays untouched."""
    from cadenza import formats
    from cadenza.infer.generate import continue_score
    from cadenza.infer.model import load_model
    from cadenza.infer.sample import Sampling

    for target in out:
        formats.module_for(target, "write")  # a wrong suffix is said before the work, not after
    score = formats.read(file)
    settings = Sampling(temperature=temperature, top_p=top_p)
    composer = load_model(model, adapter=adapter, quantize=quantize)
    typer.echo(f"{file.name}: {len(score.tracks)} tracks, {score.n_notes:,} notes")
    for number in range(takes):
        begun = time.perf_counter()
        with _progress(bars, f"take {number + 1} of {takes}" if takes > 1 else "composing") as advance:
            take = continue_score(
                score, composer, bars=bars, sampling=settings, random_seed=seed + number, on_bar=advance
            )
        spent = time.perf_counter() - begun
        name = f"take {number + 1}: " if takes > 1 else ""
        typer.echo(
            f"{name}{bars} bars, {take.n_notes} notes from bar {_bar_of(take)} on, in {spent:.1f} s "
            f"({take.n_tokens / spent:.0f} tokens/s); {take.copied_bars:.0%} of the bars equal one of yours"
        )
        if take.left_out and number == 0:
            typer.echo(f"  not continued (silent in the last bars, or beyond 16 tracks): {', '.join(take.left_out)}")
        for target in out:
            path = target if takes == 1 else target.with_stem(f"{target.stem}-{number + 1}")
            typer.echo(f"  {path}{_write(take, path)}")


def _write(take: Any, path: Path) -> str:
    from cadenza import formats
    from cadenza.base.files import make_folder_for

    make_folder_for(path)
    module = formats.module_for(path, "write")
    if path.suffix.lower() in (".png", ".svg", ".pdf"):
        from cadenza.app.cli.render import further

        pages = module.write(take.score, path, colour_from_ticks=take.start_ticks)
        return f" (the continuation in colour){further(pages)}"
    if path.suffix.lower() == ".wav":
        return f" (played by {module.write(take.score, path)})"
    module.write(take.score, path)
    return ""


def _bar_of(take: Any) -> int:
    from cadenza.score.time import bar_table

    return int(bar_table(take.score).index_of(take.start_ticks)) + 1


class _progress:
    """A progress bar over bars where somebody watches, else nothing."""

    def __init__(self, total: int, text: str) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(text, total=total)

    def __enter__(self) -> Any:
        self._progress.start()
        return lambda done: self._progress.update(self._task, completed=done)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
