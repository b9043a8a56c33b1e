"""How far both bend codes stray from the bends of real tabs and performances, in cents.

    python benchmarks/bend_codes.py --data DIR --out FILE.json

Every Guitar Pro file and every GuitarSet annotation below DIR that bends is encoded and decoded; every bent note's
curve is then compared with the decoded one every 10 ms from its onset to its end. The reference is the curve as the
reader gives it: a tab's own bend points; a GuitarSet contour where it leaves its note audibly, thinned to 10 cents.

=================== ===============================================================================================
published, re-struck  46 codes of the pitch wheel; the curve is a staircase, a new word at every step (as published)
published, points     the same codes at the curve's own points, linear between (``bend: published``)
semitone, N cents     cents against the note in steps of N at the curve's points (``bend: semitone``)
=================== ===============================================================================================

The published codes stand for a wheel of ±2 semitones, the semitone code on a step above 1 cent for −200 … 400 cents:
what bends further is cut. So each figure is given twice: over all bent notes, and over those that stay within ±2
semitones, where only the coding itself errs. Last, for comparison, a whole-tone bend as guitarists play it, a raised
cosine sampled every 10 ms.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza import formats
from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.notation.simplified.bends import code_changes, code_to_cents
from cadenza.score.model import Bend, Note, Score, Tempo, Track
from cadenza.score.time import seconds_to_ticks, ticks_to_seconds

GUITAR_PRO = (".gp3", ".gp4", ".gp5", ".gpx", ".gp")
STEP_SECONDS = 0.01
WHEEL_CENTS = 200
STEPS_CENTS = (1, 5, 10, 25)
CODES = ("published, re-struck", "published, points", *(f"semitone, {step} cents" for step in STEPS_CENTS))

Curve = NDArray[np.float64]


def curve(points: tuple[Bend, ...], ticks: Curve) -> Curve:
    """Cents at ``ticks`` after the onset; linear between points, held before and after them."""
    return np.interp(ticks, [p.offset_ticks for p in points], [p.cents for p in points]) if points else 0 * ticks


def staircase(points: tuple[Bend, ...], duration_ticks: int, ticks: Curve) -> Curve:
    """Cents at ``ticks`` as the published form says them: a code holds until the next."""
    offsets, cents = np.array([p.offset_ticks for p in points]), np.array([p.cents for p in points])
    changes = code_changes(offsets, cents, duration_ticks)
    starts = np.array([at for at, _ in changes])
    return np.array([code_to_cents(code) for _, code in changes], float)[np.searchsorted(starts, ticks, "right") - 1]


def bent_notes(score: Score) -> Iterator[tuple[int, int, Note]]:
    """(track, row, note) of every note with a curve that is not flat at its pitch."""
    for index, track in enumerate(score.tracks):
        for row in np.unique(track.bends["note"]).tolist():
            note = track[row]
            if any(point.cents for point in note.bends):
                yield index, row, note


def errors(score: Score) -> dict[tuple[str, bool], list[Curve]]:
    """(Code, whether the note stays within the wheel) → the absolute errors in cents of each bent note's samples."""
    # What notes are besides their bends would change their order: the notation drops it.
    bare = score.with_tracks(
        Track.of([replace(Note(n.onset_ticks, n.duration_ticks, n.pitch), bends=n.bends) for n in track])
        for track in score.tracks
    )
    coded = {"published, points": SimplifiedMidi(bend="published")}
    coded |= {f"semitone, {step} cents": SimplifiedMidi(bend="semitone", bend_step_cents=step) for step in STEPS_CENTS}
    decoded = {name: notation.decode(notation.encode(bare)) for name, notation in coded.items()}
    found: dict[tuple[str, bool], list[Curve]] = defaultdict(list)
    for index, row, note in bent_notes(bare):
        start, stop = ticks_to_seconds(score, [note.onset_ticks, note.offset_ticks])
        ticks = seconds_to_ticks(score, np.arange(start, stop + 1e-9, STEP_SECONDS)) - note.onset_ticks
        true = curve(note.bends, ticks)
        inside = all(abs(point.cents) <= WHEEL_CENTS for point in note.bends)
        for name, other in decoded.items():
            twin = _twin(other.tracks[index], row, note)
            found[name, inside].append(np.abs(curve(twin.bends, ticks) - true))
        found[CODES[0], inside].append(np.abs(staircase(note.bends, note.duration_ticks, ticks) - true))
    return found


def _twin(track: Track, row: int, note: Note) -> Note:
    """The decoded note at ``row``; rows of equal notes are sorted by their bends, which the code may reorder."""
    same = [track[at] for at in range(max(0, row - 8), min(len(track), row + 9))]
    same = [
        n
        for n in same
        if (n.onset_ticks, n.pitch, n.duration_ticks) == (note.onset_ticks, note.pitch, note.duration_ticks)
    ]
    ends = [point.cents for point in note.bends]
    return min(same, key=lambda n: abs(max((p.cents for p in n.bends), default=0) - max(ends)))


def summary(notes: list[Curve]) -> dict[str, float]:
    """Mean, median, 95th percentile and maximum over all samples of all notes."""
    every = np.concatenate(notes)
    figures = {"mean": every.mean(), "median": np.median(every), "p95": np.percentile(every, 95), "max": every.max()}
    return {name: round(float(value), 2) for name, value in figures.items()}


def whole_tone() -> Score:
    """A raised cosine from 0 to 200 cents in a quarter second, held, released; at 1 ms a tick."""
    rise = 100 * (1 - np.cos(np.linspace(0, np.pi, 25)))
    cents = np.rint(np.concatenate([rise, np.full(40, 200.0), rise[::-1], np.zeros(10)]))
    points = tuple(Bend(10 * at, int(c)) for at, c in enumerate(cents))
    return Score((Track.of([Note(0, 1000, 60, bends=points)]),), 500, (Tempo(0, 120.0),))


def measure(data: Path) -> dict[str, Any]:
    """Errors by source and code."""
    sources: dict[str, dict[tuple[str, bool], list[Curve]]] = defaultdict(lambda: defaultdict(list))
    files: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    unread = []
    paths = [p for p in sorted((data / "guitarpro").rglob("*")) if p.suffix.lower() in GUITAR_PRO]
    for path in [*paths, *sorted((data / "guitarset").glob("*.jams"))]:
        kind = f"GuitarSet {path.stem.rpartition('_')[2]}" if path.suffix == ".jams" else "Guitar Pro"
        try:
            found = errors(formats.read(path))
        except CadenzaError as error:
            unread.append(f"{path.name}: {error}")
            continue
        files[kind][0] += 1
        files[kind][1] += bool(found)
        for key, notes in found.items():
            sources[kind][key] += notes
    sources["a whole-tone bend"] = errors(whole_tone())
    files["a whole-tone bend"] = [1, 1]
    return {
        "sample_seconds": STEP_SECONDS,
        "not_measured": unread,
        "sources": {
            kind: {
                "files": files[kind][0],
                "files_that_bend": files[kind][1],
                "all": _table([found.get((name, True), []) + found.get((name, False), []) for name in CODES]),
                "within two semitones": _table([found.get((name, True), []) for name in CODES]),
            }
            for kind, found in sources.items()
        },
    }


def _table(by_code: list[list[Curve]]) -> dict[str, Any]:
    """Notes, samples and, for each of :data:`CODES`, the summary of its errors."""
    counts = {"bent_notes": len(by_code[0]), "samples": int(sum(map(len, by_code[0])))}
    return counts | {"cents": {name: summary(notes) for name, notes in zip(CODES, by_code, strict=True) if notes}}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    result = measure(options.data) | {"versions": versions()}
    write_atomically(options.out, (json.dumps(result, indent=1) + "\n").encode())
    for kind, found in result["sources"].items():
        for which in ("all", "within two semitones"):
            print(f"{kind}, {which}: {found[which]['bent_notes']} bent notes")
            for name, cents in found[which]["cents"].items():
                print(f"  {name:22} " + "  ".join(f"{key} {value:6.2f}" for key, value in cents.items()))
    print("not measured:", *result["not_measured"], sep="\n  ")


if __name__ == "__main__":
    main()
