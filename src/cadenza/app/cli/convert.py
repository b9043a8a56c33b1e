"""``cadenza convert IN OUT``: another format, saying first what it drops; of a file, or of everything in a folder."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cadenza.app.batch import Job, Row

MOST_SAID = 8  # errors and losses in the summary of a folder
_COUNT = re.compile(r" \(\d[^()]*\)$")  # "drops pitch spelling (412 notes)" and "… (3 notes)" are one loss


def convert(
    source: Path = typer.Argument(..., metavar="IN", help="File or folder to read."),
    target: Path = typer.Argument(..., metavar="OUT", help="File to write (its suffix says the format), or folder."),
    strict: bool = typer.Option(False, "--strict", help="Write nothing where anything would be lost."),
    unfold: bool = typer.Option(False, "--unfold", help="Write repeats and endings out."),
    repair: bool = typer.Option(False, "--repair", help="Mend what breaks the source's rules, where cadenza can."),
    to: str = typer.Option("", "--to", help="Folders: the format to write, such as gp5."),
    from_: str = typer.Option("", "--from", help="Folders: the formats to read, such as gp3,gp4. Default: all."),
    jobs: int = typer.Option(0, "--jobs", min=0, help="Folders: files at a time. Default: one a core."),
    resume: bool = typer.Option(True, "--resume/--overwrite", help="Folders: skip what is newer than its source."),
    results: Path | None = typer.Option(None, "--results", help="Folders: the CSV. Default: OUT/results.csv."),
    seconds: float = typer.Option(60.0, "--seconds", min=0.1, help="Folders: time for one file."),
) -> None:
    """Convert a file, or all files of a folder and those below, to another format, and say what that drops.

    In a folder, a file that cannot be read or written costs the others nothing: each file is a row of the CSV, and the
    exit status is 1 where one failed or was refused.
    """
    from cadenza.base.errors import ConfigError

    if source.is_dir():
        if not to:
            raise ConfigError("--to FORMAT for a folder", "none", where=str(source), hint="For example: --to gp5.")
        _folder(source, target, to, from_, jobs or os.cpu_count() or 1, results or target / "results.csv", seconds,
                strict, unfold, repair, resume)  # fmt: skip
    elif to or from_ or results or jobs or not resume:
        raise ConfigError(
            "a folder to read, with --to, --from, --jobs, --results or --overwrite",
            "a file" if source.exists() else "nothing there", where=str(source),
            hint="For one file its new suffix says the format.",
        )  # fmt: skip
    else:
        _file(source, target, strict, unfold, repair)


def _file(source: Path, target: Path, strict: bool, unfold: bool, repair: bool) -> None:
    from cadenza import formats
    from cadenza.app import reading
    from cadenza.app.losses import losses_of
    from cadenza.base.errors import FormatError
    from cadenza.score import repeats

    file, _ = formats.numbered(source)
    if file.exists() and target.exists() and target.samefile(file):  # what a Score does not hold would be gone
        raise FormatError("another file than the one that is read", "the same", where=str(target), hint="Name another.")
    score, said = reading.read(source, repair)
    for sentence in said:
        typer.echo(f"reading {source.name} {sentence}")
    if unfold:
        score = repeats.unfold().apply(score)
    lost = losses_of(score, target)
    for loss in lost:
        typer.echo(f"this conversion {loss}")
    if strict and (lost or said):
        raise FormatError(
            f"a format that holds all of {source.name}",
            f"{target.suffix}, which loses what is listed above",
            where=str(target),
            hint="Leave --strict out, or choose another format.",
        )
    formats.write(score, target)
    typer.echo(f"{target}: {len(score.tracks)} tracks, {score.n_notes:,} notes")


def _folder(
    source: Path, target: Path, to: str, from_: str, n_workers: int, results: Path, seconds: float,
    strict: bool, unfold: bool, repair: bool, resume: bool,
) -> None:  # fmt: skip
    from dataclasses import replace

    from cadenza.app import batch

    sources = [name.strip().lower().lstrip(".") for name in from_.split(",") if name.strip()]
    planned = batch.plan(source, target, to.lower().lstrip("."), sources)
    jobs = [replace(job, strict=strict, unfold=unfold, repair=repair, resume=resume) for job in planned]
    with batch.Results(results) as kept:
        try:
            _converted(jobs, kept, n_workers, seconds)
        except KeyboardInterrupt:
            typer.echo("interrupted; what was finished is kept, and the same command goes on from there", err=True)
            raise typer.Exit(130) from None
        finally:
            for line in _summary(kept.rows, len(jobs)):
                typer.echo(line)
            typer.echo(f"every file is a row of {results}")
    if any(row.status in ("failed", "refused") for row in kept.rows):
        raise typer.Exit(1)


def _converted(jobs: list[Job], kept, n_workers: int, seconds: float) -> None:  # type: ignore[no-untyped-def]
    """Do it, with a bar on a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from cadenza.app import batch

    console = Console(stderr=True)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    counts: Counter[str] = Counter()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(jobs))
        for rows in batch.convert(jobs, n_workers, seconds):
            for row in rows:
                counts[kept.add(row).status] += 1
            said = ", ".join(f"{counts[status]:,} {status}" for status in batch.STATUSES if counts[status])
            progress.update(task, advance=1, description=said)


def _summary(rows: list[Row], n_jobs: int) -> list[str]:
    """How many of each status, why files failed, and what the conversions lost."""
    from cadenza.app import batch

    if not n_jobs:
        return ["no file that cadenza reads there"]
    counts = Counter(row.status for row in rows)
    meaning = {"skipped": "skipped (newer than their source; --overwrite converts them again)"}
    lines = [
        ", ".join(f"{counts[status]:,} {meaning.get(status, status)}" for status in batch.STATUSES if counts[status])
    ]
    losses = [said for row in rows for said in row.losses.split(batch.BETWEEN) if said]
    lost = Counter(_COUNT.sub("", said) for said in losses)
    lines += [f"  {_files(n)}: this conversion {said}" for said, n in lost.most_common(MOST_SAID)]
    wrong = Counter((row.status, row.expected, row.actual) for row in rows if row.status in ("failed", "refused"))
    first = {(row.status, row.expected, row.actual): row.source for row in reversed(rows)}
    for key, n in wrong.most_common(MOST_SAID):
        status, expected, actual = key
        lines.append(f"  {_files(n)} {status}: expected {expected}, found {actual} ({first[key]})")
    if len(wrong) > MOST_SAID:
        lines.append(f"  … and {sum(wrong.values()) - sum(n for _, n in wrong.most_common(MOST_SAID))} more")
    return lines


def _files(n: int) -> str:
    return f"{n:,} file{'s' * (n != 1)}"
