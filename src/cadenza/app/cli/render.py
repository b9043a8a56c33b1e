"""``cadenza render FILE -o OUT``: sound (.wav), sheet music and tablature (.svg, .pdf, .png), piano rolls (.png)."""

from __future__ import annotations

from pathlib import Path

import typer


def render(
    file: Path = typer.Argument(..., metavar="FILE", help="File to read."),
    out: list[Path] = typer.Option(
        ..., "-o", "--out", help="File to write: .wav, .png, .svg or .pdf. May be given again."
    ),
    view: str = typer.Option(
        "", "--view", help="roll, score, tab or both (score above tab). Unsaid: .png roll, .svg and .pdf both."
    ),
    colour_from: int = typer.Option(0, "--colour-from", min=0, help="Print in colour from this bar (1 = first) on."),
    soundfont: Path | None = typer.Option(None, "--soundfont", help="SoundFont for .wav (needs tinysoundfont)."),
    width: int = typer.Option(1600, "--width", help="Width of a .png in pixels."),
) -> None:
    """Render a file to sound, to sheet music and tablature, or to a piano roll."""
    from cadenza import formats
    from cadenza.base.errors import ConfigError, FormatError

    if view not in ("", "roll", "score", "tab", "both"):
        raise ConfigError("--view roll, score, tab or both", repr(view))
    for target in out:
        module = formats.module_for(target, "write")
        if hasattr(module, "read"):
            raise FormatError(
                "a rendering: .wav, .png, .svg or .pdf", target.suffix, where=str(target), hint="Use cadenza convert."
            )
        if view == "roll" and target.suffix.lower() in (".svg", ".pdf"):
            raise ConfigError("--view score, tab or both for .svg and .pdf", "roll", hint="A piano roll is a .png.")
    score = formats.read(file)
    start = _tick_of_bar(score, colour_from)
    for target in out:
        module = formats.module_for(target, "write")
        suffix = target.suffix.lower()
        if suffix == ".wav":
            player = module.write(score, target, soundfont=soundfont)
            typer.echo(f"{target}: played by {player}")
            continue
        shown = view or ("roll" if suffix == ".png" else "both")
        pages = module.write(score, target, view=shown, width=width, colour_from_ticks=start)
        what = {"roll": "piano roll", "score": "score", "tab": "tablature", "both": "score and tablature"}[shown]
        typer.echo(f"{target}: {what} of {score.n_notes:,} notes{further(pages)}")


def further(pages: list[Path]) -> str:
    """What to say of the pages after the first."""
    if len(pages) < 2:
        return ""
    return f", further pages in {pages[1].name}" + (f" … {pages[-1].name}" if len(pages) > 2 else "")


def _tick_of_bar(score, bar: int) -> int | None:  # type: ignore[no-untyped-def]
    from cadenza.base.errors import RangeError
    from cadenza.score.time import bar_table

    if not bar:
        return None
    table = bar_table(score)
    if bar > len(table):
        raise RangeError(f"a bar of 1–{len(table)}", str(bar), where="--colour-from")
    return int(table.starts_ticks[bar - 1])
