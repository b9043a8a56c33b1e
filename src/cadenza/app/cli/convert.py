"""``cadenza convert IN OUT``: another format, saying first what it drops."""

from __future__ import annotations

from pathlib import Path

import typer


def convert(
    source: Path = typer.Argument(..., metavar="IN", help="File to read."),
    target: Path = typer.Argument(..., metavar="OUT", help="File to write; its suffix says the format."),
    strict: bool = typer.Option(False, "--strict", help="Write nothing if anything would be lost."),
    unfold: bool = typer.Option(False, "--unfold", help="Write repeats and endings out."),
) -> None:
    """Convert a file to another format and say what that drops."""
    from cadenza import formats
    from cadenza.app.losses import losses_of
    from cadenza.base.errors import FormatError
    from cadenza.score import repeats

    score = formats.read(source)
    if unfold:
        score = repeats.unfold().apply(score)
    lost = losses_of(score, target)
    for says in lost:
        typer.echo(f"this conversion {says}")
    if strict and lost:
        raise FormatError(
            f"a format that holds all of {source.name}",
            f"{target.suffix}, which loses what is listed above",
            where=str(target),
            hint="Leave --strict out, or choose another format.",
        )
    formats.write(score, target)
    typer.echo(f"{target}: {len(score.tracks)} tracks, {score.n_notes:,} notes")
