"""``cadenza evaluate transcription`` and ``files``: answers beside references, file by file."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from cadenza import formats
from cadenza.app import reading
from cadenza.app.evaluation import folder, leaderboard, notes_csv, page, picture, summary
from cadenza.app.workers import each
from cadenza.base.errors import CadenzaError, ConfigError, FormatError, did_you_mean
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.corpus.store import Piece, load_pieces, save_pieces
from cadenza.formats.audio_file import SUFFIXES
from cadenza.infer.evaluate import chosen_metrics
from cadenza.infer.notator import notate
from cadenza.metrics.base import METRICS, columns
from cadenza.score.edit import select_ticks
from cadenza.score.model import Score
from cadenza.score.repeats import unfold
from cadenza.score.time import seconds_to_ticks, ticks_to_seconds

KINDS = ("ref+est",)
SHIPPED = "shipped"
SOUNDS = SUFFIXES  # of recordings
#: What examples are chosen by: the first of these that is measured.
LEADING = ("onset_f1", "mv2h_like")
IN_SECONDS = ("transcription",)  # metrics for which only the time in seconds counts
EXAMPLE_SECONDS = 16.0


@dataclass(frozen=True)
class PairsConfig:
    """All that a report on pairs follows from.

    Args:
        ref, est: two files, or two folders whose files are paired by name (suffixes aside).
        model: an ear's folder, "shipped", or another transcriber by its name: ``est`` then holds recordings, which it
            hears; empty = files of notes. A recording may be named after its reference and more
            (``solo.jams``, ``solo_mic.wav``), or the other way round (``song.m4a``, ``song_notes.csv``).
        name: of what made the answers; empty = the name of the model or of ``est``.
        metrics: names; empty for all that compare two scores.
        missing: what a reference without an answer is: "wrong" (an empty answer), "error" or "skip" (left out).
        repeats: how a reference's repeats and jumps are taken where the answer has none: "played" (written out),
            "written" (each bar once), or "auto": whichever is nearer to the answer in length.
        resamples: of the bootstrap.
    """

    ref: str = ""
    est: str = ""
    model: str = ""
    name: str = ""
    metrics: list[str] = field(default_factory=list)
    missing: str = "wrong"
    repeats: str = "auto"
    resamples: int = 2000

    def __post_init__(self) -> None:
        if not self.ref or not self.est:
            raise ConfigError("a reference and an answer", "one of them missing", hint="Give --ref and --est.")
        if self.missing not in ("wrong", "error", "skip"):
            raise ConfigError("missing: wrong, error or skip", repr(self.missing))
        if self.repeats not in ("auto", "played", "written"):
            raise ConfigError("repeats: auto, played or written", repr(self.repeats))
        if self.resamples < 1:
            raise ConfigError("resamples of at least 1", str(self.resamples))
        unknown = [name for name in self.metrics if name not in METRICS.names()]
        if unknown:
            hint = did_you_mean(unknown[0], METRICS.names())
            raise ConfigError("a registered metric", repr(unknown[0]), where="metrics", hint=hint)


@dataclass(frozen=True)
class Pair:
    """A reference and its answer; None where there is none."""

    name: str
    ref: Path
    est: Path | None


@dataclass(frozen=True)
class Job:
    """One pair of a run."""

    out: Path | None
    index: int
    pair: Pair
    metrics: tuple[str, ...]
    model: str = ""
    repeats: str = "auto"


def read(path: Path) -> Score:
    """A file of notes: any that cadenza reads, or a list of notes as CSV.

    Raises:
        FormatError, NotationError: it cannot be read.
    """
    return notes_csv.read(path) if path.suffix.lower() == ".csv" else reading.read(path)[0]


def as_answered(ref: Score, est: Score, repeats: str = "auto") -> tuple[Score, bool]:
    """The reference with its repeats and jumps as the answer takes them, and whether they are written out.

    Args:
        repeats: as in :class:`PairsConfig`. An answer with repeats of its own is compared as both are written.
    """
    if repeats == "written" or not _jumps(ref) or _jumps(est):
        return ref, False
    played = unfold().apply(ref)
    if repeats == "auto":
        lengths = [_seconds(score) for score in (est, played, ref)]
        if min(lengths) <= 0 or abs(np.log(lengths[0] / lengths[1])) >= abs(np.log(lengths[0] / lengths[2])):
            return ref, False
    return played, True


def _jumps(score: Score) -> bool:
    return any(mark.repeat_close or mark.endings or mark.directions for mark in score.bars)


def _seconds(score: Score) -> float:
    """From the first onset to the last."""
    onsets = np.concatenate([track.notes["onset_ticks"] for track in score.tracks if len(track)] or [np.zeros(1)])
    first, last = ticks_to_seconds(score, [onsets.min(), onsets.max()])
    return float(last - first)


@lru_cache(maxsize=1)
def _ear(model: str) -> Any:
    from cadenza.model.ear import Ear
    from cadenza.model.ear_engines import ONNX_RUNTIME

    return Ear(None if model == SHIPPED else Path(model), threads=1, engine=ONNX_RUNTIME)


def heard(path: Path, model: str) -> Score:
    """What an ear, or another transcriber, hears in a recording.

    Raises:
        FormatError: no sound file, or one that is silent.
        ModelError: there is no such ear.
        MissingExtraError: the transcriber is not installed.
    """
    from cadenza.infer.transcribe import transcribe
    from cadenza.infer.transcribers import TRANSCRIBERS, transcribe_with

    if model in TRANSCRIBERS.names():
        return transcribe_with(model, path).score
    return transcribe(path, _ear(model)).score


def pairs_of(ref: Path, est: Path, missing: str = "wrong", *, sounds: bool = False) -> list[Pair]:
    """The pairs of two files, or of two folders by name.

    Args:
        sounds: ``est`` holds recordings.

    Raises:
        ConfigError: a file beside a folder, no references, two files of one name, or a missing answer where that is an
            error.
    """
    if ref.is_file() and est.is_file():
        return [Pair(ref.name, ref, est)]
    for path in (ref, est):
        if not path.is_dir():
            raise ConfigError("two files or two folders", "none there", where=str(path))
    references, answers = _by_name(ref), _by_name(est, sounds)
    if not references:
        raise ConfigError("a folder with references", "none that can be read", where=str(ref))
    if sounds:
        answers = _beside(references, answers, est)
    lost = [name for name in references if name not in answers]
    if lost and (missing == "error" or len(lost) == len(references)):
        raise ConfigError(
            "an answer of the same name for every reference", f"none for {', '.join(lost[:3])}", where=str(est)
        )
    kept = answers if missing == "skip" else references
    return [Pair(name, path, answers.get(name)) for name, path in references.items() if name in kept]


def _beside(references: Mapping[str, Path], recordings: Mapping[str, Path], root: Path) -> dict[str, Path]:
    """The recording of each reference: of its name, else the only one whose name goes on where the other ends.

    Raises:
        ConfigError: several do.
    """
    out = {name: recordings[name] for name in references if name in recordings}
    free = [name for name in recordings if name not in out]
    for name in references:
        found = [other for other in free if _goes_on(name, other)]
        found = found or [other for other in recordings if _goes_on(other, name)]
        if name not in out and len(found) > 1:
            raise ConfigError(f"one recording for {name}", ", ".join(found[:3]), where=str(root))
        if name not in out and found:
            out[name] = recordings[found[0]]
    return out


def _goes_on(short: str, long: str) -> bool:
    return len(long) > len(short) and long.startswith(short) and long[len(short)] in "_-. "


def _by_name(root: Path, sounds: bool = False) -> dict[str, Path]:
    wanted = set(SOUNDS) if sounds else {"csv", *formats.suffixes("read")} - set(SOUNDS)
    out: dict[str, Path] = {}
    for path in sorted(root.rglob("*")):
        suffix = path.suffix.lower().lstrip(".")
        if not path.is_file() or path.name.startswith(".") or suffix not in wanted:
            continue
        if not sounds and suffix != "csv" and not formats.is_music(path, wanted):
            continue
        name = str(path.relative_to(root).with_suffix(""))
        if name in out:
            raise ConfigError("one file of each name", f"{out[name].name} and {path.name}", where=str(root))
        out[name] = path
    return out


def measure_one(job: Job) -> dict[str, Any]:
    """The row of one pair, written where there is a folder; ``cpu_seconds`` is beside it, not in the file."""
    begun = time.process_time()
    pair = job.pair
    row: dict[str, Any] = {"index": job.index, "name": pair.name, "ref": pair.ref.name, "est": "", "problem": ""}
    try:
        ref = read(pair.ref)
    except CadenzaError as error:
        raise error.at(str(pair.ref)) if str(pair.ref) not in str(error) else error from error
    est = Score((), ref.ticks_per_quarter, ref.tempos, ref.metres)
    if pair.est is None:
        row["problem"] = "no answer"
    else:
        row["est"] = pair.est.name
        try:
            est = heard(pair.est, job.model) if job.model else read(pair.est)
        except CadenzaError as error:
            row["problem"] = str(error)
    ref, row["repeats_played"] = as_answered(ref, est, job.repeats)
    row |= {"n_ref": ref.n_notes, "n_est": est.n_notes, "columns": {}}
    # What is heard is in seconds, as played; as a score it is judged by the page that is written of it.
    page_of_it = notate(est) if job.model and est.n_notes else est
    for metric in chosen_metrics(job.metrics, KINDS):
        row["columns"] |= metric(ref=ref, est=est if metric.name in IN_SECONDS else page_of_it)
    if job.out is not None:
        if job.model:
            save_pieces(folder.row_path(job.out, job.index).with_suffix(".npz"), [Piece("", "", "", "", est)])
        folder.write_json(folder.row_path(job.out, job.index), row)
    return row | {"cpu_seconds": time.process_time() - begun}


def run(
    config: PairsConfig, out: Path, *, n_workers: int, limit_seconds: float, say: Callable[[str, int, int], None]
) -> dict[str, Any]:
    """Measure what is left to do and write the report; returns it.

    Raises:
        ConfigError: as :func:`pairs_of`; or pairs were lost (start again to try them again).
        FormatError: a reference cannot be read.
    """
    pairs = pairs_of(Path(config.ref), Path(config.est), config.missing, sounds=bool(config.model))
    with folder.opened(out, "transcription", config):
        jobs = [
            Job(out, index, pair, tuple(config.metrics), config.model, config.repeats)
            for index, pair in enumerate(pairs)
            if not folder.row_path(out, index).exists()
        ]
        done, lost, spent = len(pairs) - len(jobs), [], 0.0
        say("pairs", done, len(pairs))
        for ended in each(measure_one, jobs, max(1, min(n_workers, len(jobs))), limit_seconds):
            done += 1
            say("pairs", done, len(pairs))
            if ended.lost:
                lost.append(f"{jobs[ended.index].pair.name}: {ended.lost}")
            else:
                spent += ended.result["cpu_seconds"]
        if lost:
            raise ConfigError("a result of every pair", "; ".join(lost[:3]), where=str(out), hint="Start again.")
        report = report_of(config, out, pairs)
        folder.write_json(out / folder.REPORT, report)
        folder.write_json(out / folder.ROWS, rows_of(report))
        write_atomically(out / folder.PAGE, html(report, pairs, out).encode())
        folder.write_json(out / folder.TIMING, {"cpu_seconds": spent})
    return report


def report_of(config: PairsConfig, out: Path, pairs: list[Pair]) -> dict[str, Any]:
    """The report of a finished run."""
    rows = folder.rows(out)
    found = summary.matrix([row["columns"] for row in rows])
    declared = columns()
    leading = next((name for name in LEADING if name in found), next(iter(found), ""))
    order = sorted((row for row in rows if leading in row["columns"]), key=lambda row: row["columns"][leading])
    references = hashlib.sha256()
    for pair in pairs:
        references.update(pair.name.encode() + b"\0" + hashlib.sha256(pair.ref.read_bytes()).digest())
    return {
        "kind": "transcription",
        "config": folder.read_json(out / folder.CONFIG)["config"],
        "versions": versions(),
        "system": config.name or _system(config),
        "refs_sha256": references.hexdigest(),
        "n_pairs": len(rows),
        "n_ref": sum(row["n_ref"] for row in rows),
        "n_est": sum(row["n_est"] for row in rows),
        "problems": {row["name"]: row["problem"] for row in rows if row["problem"]},
        "repeats_played": [row["name"] for row in rows if row.get("repeats_played")],
        "columns": {name: summary.described(*declared[name]) for name in declared if name in found},
        "figures": summary.means(found, config.resamples),
        "leading": leading,
        "pairs": [{key: row[key] for key in ("index", "name", "n_ref", "n_est", "columns")} for row in rows],
        "examples": {
            "worst": [row["index"] for row in order[: min(summary.N_EXAMPLES, len(order) // 2)]],
            "best": [row["index"] for row in order[::-1][: summary.N_EXAMPLES]],
        },
    }


def _system(config: PairsConfig) -> str:
    from cadenza.infer.transcribers import TRANSCRIBERS

    if config.model in TRANSCRIBERS.names():
        return config.model
    return f"ear {Path(config.model).name}" if config.model else Path(config.est).name


def rows_of(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The leaderboard row of a report: one."""
    settings = {
        "kind": "transcription", "corpus_sha256": report["refs_sha256"], "split": "", "n_seeds": report["n_pairs"],
        "missing": report["config"]["missing"], "repeats": report["config"]["repeats"],
    }  # fmt: skip
    figures = {
        name: {**values, **{key: report["columns"][name][key] for key in ("metric", "better", "unit")}}
        for name, values in report["figures"].items()
    }
    return [{
        "schema": leaderboard.SCHEMA, "system": report["system"], "is": "model", "decoding": "", "model_sha256": "",
        "settings": settings, "figures": figures, "refused": len(report["problems"]),
        "config": leaderboard.shareable(report["config"]),
        "versions": report["versions"],
    }]  # fmt: skip


def html(report: Mapping[str, Any], pairs: list[Pair], out: Path) -> str:
    """The page of a report on pairs."""
    names = list(report["figures"])
    parts = [
        f"<h1>{escape(report['system'])} on {report['n_pairs']} references</h1>",
        f"<p>{report['n_ref']:,} notes in the references <code>{escape(report['refs_sha256'][:12])}</code>, "
        f"{report['n_est']:,} in the answers. Intervals are 95 % bootstraps over pieces.</p>",
        *(
            f'<p class="note">{escape(name)}: {escape(problem)} (counts as an empty answer)</p>'
            for name, problem in report["problems"].items()
        ),
    ]
    if report["repeats_played"]:
        names_said = escape(", ".join(report["repeats_played"]))
        parts.append(f"<p>Repeats written out, as the answer plays them: {names_said}.</p>")
    for metric in dict.fromkeys(found["metric"] for found in report["columns"].values()):
        rows = [
            [(page.words(name), report["columns"][name]["summary"], ""),
             (page.number(f["value"]), page.between(f), ""), str(f["n"])]
            for name, f in report["figures"].items() if report["columns"][name]["metric"] == metric
        ]  # fmt: skip
        if rows:
            parts += [f"<h2>{escape(metric)}</h2>", page.cells(["", "mean", "pieces"], rows)]
    strips = [
        strip(
            page.words(name), {row["name"]: row["columns"][name] for row in report["pairs"] if name in row["columns"]}
        )
        for name in names
    ]
    parts += ["<h2>Piece by piece</h2>", '<div class="plots">', *strips, "</div>"]
    by = dict(enumerate(pairs))
    columns_of = {row["index"]: row["columns"] for row in report["pairs"]}
    for kind in ("worst", "best"):
        figures = [
            _example(by[i], report["leading"], columns_of[i], folder.row_path(out, i).with_suffix(".npz"))
            for i in report["examples"][kind]
        ]
        if figures:
            title = f"{kind.capitalize()} by {page.words(report['leading'])}"
            parts += [f"<h2>{escape(title)}</h2>", '<div class="examples">', *figures, "</div>"]
    rows = [
        [row["name"], str(row["n_ref"]), str(row["n_est"]), *(page.number(row["columns"].get(name)) for name in names)]
        for row in report["pairs"]
    ]
    parts += [
        "<details><summary>Every pair</summary>",
        page.cells(["", "notes", "answered", *map(page.words, names)], rows), "</details>",
        page.configuration(report),
    ]  # fmt: skip
    return page.document(f"{report['system']}: transcription", parts)


def strip(title: str, values: Mapping[str, float]) -> str:
    """One mark a piece along the range, and their mean."""
    if not values:
        return ""
    low, high = min(0.0, *values.values()), max(1.0, *values.values())

    def x(value: float) -> float:
        return 10 + 300 * (value - low) / (high - low)

    mean = float(np.mean(list(values.values())))
    marks = "".join(
        f'<line class="whisker" x1="{x(v):.1f}" x2="{x(v):.1f}" y1="6" y2="22"><title>{escape(name)}: '
        f"{page.number(v)}</title></line>"
        for name, v in values.items()
    )
    return (
        f"<figure><figcaption>{escape(title)} <span>mean {page.number(mean)}</span></figcaption>"
        f'<svg class="dots" viewBox="0 0 320 40" role="img" aria-label="{escape(title)}">{marks}'
        f'<circle class="dot" cx="{x(mean):.1f}" cy="14" r="4"/>'
        f'<text class="n" x="10" y="38">{page.number(low)}</text>'
        f'<text class="n" x="310" y="38" text-anchor="end">{page.number(high)}</text></svg></figure>'
    )


def _example(pair: Pair, leading: str, found: Mapping[str, float], kept: Path) -> str:
    """Reference above, answer below, with their sound; ``kept`` holds what an ear heard."""
    about = f"{page.words(leading)} {page.number(found[leading])}"
    parts = []
    for said, path in (("reference", pair.ref), ("answer", pair.est)):
        try:
            if said == "answer" and kept.exists():
                score: Score | None = load_pieces(kept)[0].score
            else:
                score = read(path) if path is not None else None
        except CadenzaError:
            score = None
        if score is None or not score.n_notes:
            parts.append(f"<p>{said}: no notes</p>")
            continue
        stop = int(seconds_to_ticks(score, EXAMPLE_SECONDS))
        cut = select_ticks(0, max(1, min(stop, score.length_ticks))).apply(score)
        if not cut.n_notes:
            parts.append(f"<p>{said}: silent for the first {EXAMPLE_SECONDS:g} seconds</p>")
            continue
        parts.append(f"<p>{said}</p>{picture.roll(cut, 0, f'{pair.name}, {said}')}")
        parts.append(f'<audio controls preload="none" src="{picture.sound(cut, EXAMPLE_SECONDS)}"></audio>')
    return f"<figure><figcaption>{escape(pair.name)} <span>{escape(about)}</span></figcaption>{''.join(parts)}</figure>"


def one(ref: Path, est: Path, metrics: tuple[str, ...] = ()) -> dict[str, Any]:
    """The row of two files, without a folder.

    Raises:
        FormatError: one of them cannot be read.
    """
    row = measure_one(Job(None, 0, Pair(ref.name, ref, est), metrics))
    if row["problem"]:
        raise FormatError("an answer that can be read", row["problem"], where=str(est))
    return row
