"""Whole folders from one format to another: what becomes of each file is a row, and nothing stops the rest.

:func:`plan` decides, before anything is read, which file becomes which: the folders' structure is kept, and where two
files of a folder would get one name (``a.gp3`` and ``a.gp5`` as MIDI) both keep their suffix in it (``a.gp3.mid``). A
format of many tunes (it has ``read_all``) makes a folder named after the file, with one file a tune, unless it holds
one tune. :func:`convert` does it over processes and yields a :class:`Row` a file; :class:`Results` keeps them as CSV.
"""

from __future__ import annotations

import csv
import io
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cadenza import formats
from cadenza.app import reading
from cadenza.app.losses import projected
from cadenza.app.workers import each
from cadenza.base.errors import CadenzaError, ConfigError, FormatError
from cadenza.base.files import make_folder_for, write_atomically
from cadenza.score import repeats
from cadenza.score.model import Score

BETWEEN = " | "
STATUSES = ("converted", "refused", "failed", "skipped")


@dataclass(frozen=True)
class Row:
    """What became of one file (or one tune of it). The fields are the columns of the CSV.

    Args:
        source: relative to the folder; ``book.abc#22`` for a tune of many.
        target: relative to the folder of results; empty where none was to be.
        status: one of :data:`STATUSES`. Refused is what --strict (or another file in the way) forbids.
        notes_in, notes_out: notes read, and notes that the target holds (none for sound and pictures).
        losses: what the conversion loses, sentence by sentence, :data:`BETWEEN` between.
        expected, actual, where, hint: of the error.
        seconds: that it took.
    """

    source: str
    target: str = ""
    status: str = "converted"
    notes_in: int | None = None
    notes_out: int | None = None
    losses: str = ""
    expected: str = ""
    actual: str = ""
    where: str = ""
    hint: str = ""
    seconds: float = 0.0


COLUMNS = tuple(field.name for field in fields(Row))


@dataclass(frozen=True)
class Job:
    """One file to convert; paths as given, names relative to the two folders."""

    source: Path
    target: Path
    source_name: str
    target_name: str
    strict: bool = False
    unfold: bool = False
    repair: bool = False
    resume: bool = True


def plan(folder: Path, out: Path, to: str, sources: Sequence[str] = ()) -> list[Job]:
    """The files of ``folder`` (and those below) that can be read, and where each goes.

    Hidden files and folders are left out, and so is ``out`` where it lies inside.

    Args:
        to: suffix to write, without its dot.
        sources: suffixes to read; none means all that can be read.

    Raises:
        ConfigError: both folders are one, or a suffix cannot be read or written.
    """
    for wanted, verb in ((tuple(sources), "read"), ((to,), "write")):
        known = formats.suffixes(verb)
        for suffix in wanted:
            if suffix not in known:
                can = f"cadenza {verb}s: {', '.join('.' + s for s in known)}."
                raise ConfigError(f"a format that cadenza {verb}s", f".{suffix}", where=str(folder), hint=can)
    root, place = folder.resolve(), out.resolve()
    if root == place:
        raise ConfigError("a folder for the results", "the one that is read", where=str(out), hint="Name another.")
    found = list(_files(root, place, set(sources or formats.suffixes("read"))))
    names = _target_names([path.relative_to(root) for path in found], to)
    taken = set(found)
    jobs = []
    for path, name in zip(found, names, strict=True):
        relative = path.relative_to(root)
        # Where one folder lies in the other, a target may be a source: it is left out by its empty name.
        own = "" if (place / name) in taken else str(name)
        jobs.append(Job(folder / relative, out / name, str(relative), own))
    return jobs


def _files(root: Path, out: Path, suffixes: set[str]) -> Iterator[Path]:
    for place, folders, names in os.walk(root):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not name.startswith(".") and here / name != out)
        for name in sorted(names):
            if not name.startswith(".") and formats.is_music(Path(name), suffixes):
                yield here / name


def _target_names(sources: Sequence[Path], to: str) -> list[Path]:
    """One name each, none twice, not even where case does not count."""
    plain = [path.with_suffix(".tokens.txt" if to == "txt" else f".{to}") for path in sources]
    wanted: dict[str, int] = {}
    for name in plain:
        wanted[str(name).lower()] = wanted.get(str(name).lower(), 0) + 1
    used = {key for key, count in wanted.items() if count == 1}
    out = []
    for path, name in zip(sources, plain, strict=True):
        if wanted[str(name).lower()] > 1:
            name, number = path.with_name(f"{path.name}.{to}"), 1
            while str(name).lower() in used:
                number += 1
                name = path.with_name(f"{path.name}-{number}.{to}")
            used.add(str(name).lower())
        out.append(name)
    return out


def convert(jobs: Sequence[Job], n_workers: int, limit_seconds: float) -> Iterator[list[Row]]:
    """The rows of each job as it ends. Jobs that need nothing done come first.

    Args:
        n_workers: processes.
        limit_seconds: for one file; a worker that passes it is ended and the file is a failed row.
    """
    todo = []
    for job in jobs:
        row = _settled(job)
        if row is None:
            todo.append(job)
        else:
            yield [row]
    for ended in each(convert_one, todo, max(1, min(n_workers, len(todo))), limit_seconds):
        job = todo[ended.index]
        if ended.lost:
            _remove_unfinished(job)
            hint = "Give it more time with --seconds, or leave the file out."
            yield [_failed(job, FormatError("a result", ended.lost, where=str(job.source), hint=hint), ended.seconds)]
        else:
            yield ended.result


def _settled(job: Job) -> Row | None:
    """The row of a job that needs nothing done."""
    if not job.target_name:
        return Row(
            job.source_name, "", "refused", expected="a target that is no source", actual=str(job.target),
            hint="Choose a folder for the results that does not hold the sources.",
        )  # fmt: skip
    return Row(job.source_name, job.target_name, "skipped") if job.resume and _is_done(job.source, job.target) else None


def _is_done(source: Path, target: Path) -> bool:
    try:
        return target.stat().st_mtime_ns >= source.stat().st_mtime_ns
    except OSError:
        return False


def _remove_unfinished(job: Job) -> None:
    """What a killed writer left: the temporary files of :func:`cadenza.base.files.writing_atomically`."""
    for place in (job.target.parent, _book_folder(job)):
        for path in place.glob(".*") if place.is_dir() else ():
            if path.name.startswith(f".{job.target.name}.") or place == _book_folder(job):
                with suppress(OSError):
                    path.unlink()


def _book_folder(job: Job) -> Path:
    return job.target.parent / job.source.name


def convert_one(job: Job) -> list[Row]:
    """Read, look for losses, write. Never raises: whatever goes wrong is a row."""
    start = time.perf_counter()
    try:
        module = formats.module_for(job.source, "read")
        if not hasattr(module, "read_all"):
            score, said = reading.read(job.source, job.repair)
            return [_converted(job, score, start, said)]
        tunes = _tunes(module, job)
    except CadenzaError as error:
        return [_failed(job, error, time.perf_counter() - start)]
    except Exception as error:  # a fault of ours or of a library must not cost the other files
        return [_failed(job, _fault(error, job.source), time.perf_counter() - start)]
    if len(tunes) == 1 and isinstance(tunes[0][1], Score):
        return [_guarded(job, tunes[0][1], start, tunes[0][2])]
    numbers = [number for number, *_ in tunes]
    if len(set(numbers)) < len(numbers):  # two tunes of one number: counted from 1 instead
        numbers = list(range(1, len(tunes) + 1))
    rows = []
    for number, (_, tune, said) in zip(numbers, tunes, strict=True):
        name = f"{number:0{len(str(max(numbers)))}}{job.target.suffix}"
        target_name = str(Path(job.target_name).parent / job.source.name / name)
        one = replace(
            job, target=_book_folder(job) / name, target_name=target_name, source_name=f"{job.source_name}#{number}"
        )
        if isinstance(tune, CadenzaError):
            rows.append(_failed(one, tune, time.perf_counter() - start))
        elif job.resume and _is_done(job.source, one.target):
            rows.append(Row(one.source_name, one.target_name, "skipped"))
        else:
            rows.append(_guarded(one, tune, start, said))
        start = time.perf_counter()
    return rows


def _tunes(module: Any, job: Job) -> list[tuple[int, Score | CadenzaError, list[str]]]:
    """(number, tune, what reading said) of each; where one cannot be read and the format lists them, its error."""
    path, mends = job.source, job.repair and hasattr(module, "repair")
    try:
        if not (mends and hasattr(module, "numbers")):
            return [(number, tune, []) for number, tune in module.read_all(path)]
    except CadenzaError as error:
        if not hasattr(module, "numbers"):
            raise error if str(path) in error.where else error.at(str(path)) from error
    out: list[tuple[int, Score | CadenzaError, list[str]]] = []
    for number in module.numbers(path):
        try:
            if mends:
                tune, problems = module.repair(path, number=number)
                out.append((number, tune, [f"mends {problem}" for problem in problems if problem.repair]))
            else:
                out.append((number, module.read(path, number=number), []))
        except CadenzaError as error:
            out.append((number, error.at(f"{path}#{number}"), []))
    return out


def _guarded(job: Job, score: Score, start: float, said: list[str]) -> Row:
    try:
        return _converted(job, score, start, said)
    except CadenzaError as error:
        return _failed(job, error, time.perf_counter() - start)
    except Exception as error:  # as above
        return _failed(job, _fault(error, job.source), time.perf_counter() - start)


def _converted(job: Job, score: Score, start: float, read_said: list[str]) -> Row:
    if job.unfold:
        score = repeats.unfold().apply(score)
    losses, held = projected(score, job.target)
    said = BETWEEN.join([*(f"reading {sentence}" for sentence in read_said), *map(str, losses)])
    keeps = hasattr(formats.module_for(job.target, "write"), "PROJECTION")
    row = Row(job.source_name, job.target_name, "converted", score.n_notes, held.n_notes if keeps else None, said)
    if job.strict and said:
        return replace(
            row, status="refused", notes_out=None, expected=f"a format that holds all of {job.source.name}",
            actual=f"{job.target.suffix}, which loses some", hint="Leave --strict out, or choose another format.",
            seconds=_rounded(time.perf_counter() - start),
        )  # fmt: skip
    make_folder_for(job.target)
    formats.write(score, job.target)
    return replace(row, seconds=_rounded(time.perf_counter() - start))


def _failed(job: Job, error: CadenzaError, seconds: float) -> Row:
    said = {name: getattr(error, name) for name in ("expected", "actual", "where", "hint")}
    return Row(job.source_name, job.target_name, "failed", **said, seconds=_rounded(seconds))


def _fault(error: Exception, source: Path) -> CadenzaError:
    return FormatError(
        "a result", f"{type(error).__name__}: {error}"[:500], where=str(source), hint="Please report it."
    )


def _rounded(seconds: float) -> float:
    return round(seconds, 3)


class Results:
    """The rows as a CSV file: one by one while the work goes on, in the order of their names when it ends.

    A row that is skipped takes the figures of the row that an earlier run left for it.

    Raises:
        ConfigError: another file has that name.
        FormatError: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, []  # type: tuple[Path, list[Row]]
        self._earlier = self._read() if path.exists() else {}
        make_folder_for(path)
        try:
            self._file = open(path, "w", encoding="utf-8", errors="backslashreplace", newline="")  # noqa: SIM115
        except OSError as error:
            raise FormatError("a writable place", error.strerror or str(error), where=str(path)) from error
        self._writer = csv.DictWriter(self._file, COLUMNS)
        self._writer.writeheader()
        self._file.flush()

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            with open(self.path, encoding="utf-8", newline="") as file:
                reader = csv.DictReader(file)
                if tuple(reader.fieldnames or ()) == COLUMNS:
                    return {row["source"]: row for row in reader}
        except (OSError, UnicodeDecodeError, csv.Error):
            pass
        raise ConfigError(
            "a new file, or the results of an earlier run", "something else", where=str(self.path),
            hint="Name another with --results.",
        )  # fmt: skip

    def add(self, row: Row) -> Row:
        """Keep the row; the row as kept."""
        old = self._earlier.get(row.source)
        if (
            row.status == "skipped"
            and old
            and old["target"] == row.target
            and old["status"] in ("converted", "skipped")
        ):
            n_in, n_out = (int(old[name]) if old[name] else None for name in ("notes_in", "notes_out"))
            row = replace(row, notes_in=n_in, notes_out=n_out, losses=old["losses"] or "")
        self.rows.append(row)
        self._writer.writerow(_cells(row))
        self._file.flush()
        return row

    def close(self) -> None:
        """Put the rows in order."""
        self._file.close()
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, COLUMNS)
        writer.writeheader()
        writer.writerows(_cells(row) for row in sorted(self.rows, key=lambda row: row.source))
        write_atomically(self.path, text.getvalue().encode("utf-8", "backslashreplace"))

    def __enter__(self) -> Results:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _cells(row: Row) -> dict[str, object]:
    return {name: getattr(row, name) for name in COLUMNS}
