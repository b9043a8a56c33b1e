"""``cadenza render FILE -o OUT``: sound (.wav) and pictures (.png)."""

from __future__ import annotations

from pathlib import Path

import typer


def render(
    file: Path = typer.Argument(..., metavar="FILE", help="File to read."),
    out: list[Path] = typer.Option(..., "-o", "--out", help="File to write: .wav or .png. May be given again."),
    soundfont: Path | None = typer.Option(None, "--soundfont", help="SoundFont for .wav (needs tinysoundfont)."),
    width: int = typer.Option(1600, "--width", help="Width of a .png in pixels."),
) -> None:
    """Render a file to sound or to a piano roll."""
    from cadenza import formats
    from cadenza.base.errors import FormatError

    score = formats.read(file)
    for target in out:
        module = formats.module_for(target, "write")
        if hasattr(module, "read"):
            raise FormatError(
                "a rendering: .wav or .png", target.suffix, where=str(target), hint="Use cadenza convert."
            )
        if target.suffix.lower() == ".wav":
            player = module.write(score, target, soundfont=soundfont)
            typer.echo(f"{target}: played by {player}")
        else:
            module.write(score, target, width=width)
            typer.echo(f"{target}: piano roll of {score.n_notes:,} notes")
