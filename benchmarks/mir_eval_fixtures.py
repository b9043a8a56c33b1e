"""Are the transcription figures mir_eval's? Its own regression fixtures, read from a folder, against ours.

    python -m benchmarks.mir_eval_fixtures FOLDER --out FILE.json

FOLDER holds mir_eval's ``tests/data/transcription``: ``refNN.txt`` and ``estNN.txt`` (a note a line: onset and end in
seconds, hertz) and ``outputNN.json``, what mir_eval gave for them. The files are mir_eval's and not part of its package
nor of ours; here they are only read.

**Two ways** lead to the figures, and both are compared. *Score*: the notes become a Score of :data:`TICKS` ticks a
second and go through the metric as any transcription does; once as one pitched track, once as one drum track (drum hits
are matched by key and onset, so ``drum_f1`` of that is the F1 without ends). *Seconds*: the notes as read go straight
into the function that the metric counts with. It alone gives precision and recall with ends, which are no columns.

Our metric lets mir_eval itself match the notes, so the matching is not what is in question here, but all around it: the
notes split by key and at silences, ticks to seconds, keys to hertz, and how precision, recall and F1 are made of it.

**Pitches** are keys with us, hertz in the files. A file's hertz go to the nearest key. That cannot move a figure while
all lie within :data:`MOST_CENTS` of a key: notes of one key then differ by less than 50 cents, notes of different keys
by more. A file that breaks this is refused, as is one whose times are no whole ticks.

**Not compared**, for want of a counterpart: onsets alone and ends alone without pitch (``Onset_…``, ``Offset_…``) and
the mean overlap of the matched notes (``Average_Overlap_Ratio…``). They are named in the result. ``frame_f1`` is not in
the fixtures; the tests hold it against mir_eval.multipitch.

**Whether the files are as mir_eval has them** is judged by giving them to the installed mir_eval itself: the column
``mir_eval_itself`` is its largest difference from ``outputNN.json`` over all figures, compared or not. It does not see
every slip of a digit: a note that matches nothing may be off unnoticed.

The exit status is 1 if a figure differs by more than :data:`BAR`.
"""

from __future__ import annotations

import argparse
import json
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import CadenzaError, FormatError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.metrics import transcription
from cadenza.metrics.base import measuring
from cadenza.score.model import Note, Score, Track

BAR = 1e-6
TICKS = 10_000  # a second, at the 120 quarters a minute of a Score without tempos; mir_eval rounds to as many
MOST_CENTS = 24.9

WITHOUT_ENDS = ("Precision_no_offset", "Recall_no_offset", "F-measure_no_offset")
WITH_ENDS = ("Precision", "Recall", "F-measure")
SCORE_COLUMNS = {
    "onset_precision": WITHOUT_ENDS[0],
    "onset_recall": WITHOUT_ENDS[1],
    "onset_f1": WITHOUT_ENDS[2],
    "onset_offset_f1": WITH_ENDS[2],
    "multi_instrument_f1": WITH_ENDS[2],  # one instrument only
}
PARTS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class Side:
    """The notes of one file: ``intervals`` in seconds, shape (n, 2); ``keys`` and ``hertz``, shape (n,)."""

    intervals: NDArray[np.float64]
    keys: NDArray[np.int64]
    hertz: NDArray[np.float64]

    @classmethod
    def read(cls, path: Path) -> Side:
        """The notes of a file of onset, end and hertz.

        Raises:
            FormatError: a line is no note, a note is too short, a frequency is nearly between two keys, or a time is no
            whole tick.
        """
        hint = "Take the file as it is in mir_eval's repository, tests/data/transcription."
        try:
            intervals, hertz = measuring("mir_eval.io").load_valued_intervals(str(path))
        except (OSError, ValueError) as error:
            raise FormatError("lines of onset, end and hertz", str(error), where=str(path), hint=hint) from None
        if not len(hertz) or not (hertz > 0).all():
            raise FormatError("notes of more than 0 hertz", "none, or one of less", where=str(path), hint=hint)
        shortest = float((intervals[:, 1] - intervals[:, 0]).min())
        if shortest < transcription.MIN_SECONDS - 1e-9:
            raise FormatError(
                f"notes of at least {transcription.MIN_SECONDS} s", f"one of {shortest:g} s", where=str(path),
                hint="Ours are never shorter, so the figures would differ by design.",
            )  # fmt: skip
        side = cls(intervals, np.rint(keys_of(hertz)).astype(np.int64), hertz)
        if side.most_cents > MOST_CENTS:
            raise FormatError(
                f"frequencies within {MOST_CENTS} cents of a key", f"one {side.most_cents:.1f} away", where=str(path),
                hint="Our notes have keys: a figure that rounds so far says nothing about mir_eval's.",
            )  # fmt: skip
        ticks = intervals * TICKS
        if np.abs(ticks - np.rint(ticks)).max() > 1e-6:
            raise FormatError("times of at most 4 decimals", "finer ones", where=str(path), hint=hint)
        return side

    @property
    def most_cents(self) -> float:
        """How far the frequencies lie from their keys at most."""
        return float(np.abs(keys_of(self.hertz) - self.keys).max() * 100)

    def score(self, drums: bool = False) -> Score:
        """The notes in one track."""
        ticks = np.rint(self.intervals * TICKS).astype(np.int64).tolist()
        notes = [Note(start, end - start, key) for (start, end), key in zip(ticks, self.keys.tolist(), strict=True)]
        return Score((Track.of(notes, is_drums=drums),), ticks_per_quarter=TICKS // 2)

    def played(self) -> transcription._Played:
        """The notes as the metric holds them, in seconds as read."""
        return transcription._Played(self.intervals, self.keys, np.zeros(len(self.keys), np.int64))


def keys_of(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    """MIDI numbers, with fractions."""
    return 69 + 12 * np.log2(hertz / 440)


def ours(ref: Side, est: Side) -> dict[str, tuple[str, float]]:
    """Column → the name that mir_eval has for it, and our figure.

    Raises:
        CadenzaError: the metric leaves out a column of notes that are there.
    """
    found: dict[str, tuple[str, float]] = {}
    pitched = transcription.METRIC(ref=ref.score(), est=est.score())
    hits = transcription.METRIC(ref=ref.score(drums=True), est=est.score(drums=True))
    try:
        for column, name in SCORE_COLUMNS.items():
            found[f"score: {column}"] = name, pitched[column]
        found["score: drum_f1"] = WITHOUT_ENDS[2], hits["drum_f1"]
    except KeyError as error:
        raise CadenzaError("all columns of notes on both sides", f"no {error}", hint="A fault of the metric.") from None
    for offsets, names in ((False, WITHOUT_ENDS), (True, WITH_ENDS)):
        figures = transcription.precision_recall_f1(ref.played(), est.played(), offsets=offsets)
        if figures is None:
            raise CadenzaError("figures of notes on both sides", "none", hint="A fault of the metric.")
        for part, name, figure in zip(PARTS, names, figures, strict=True):
            found[f"seconds: {'onset_offset' if offsets else 'onset'}_{part}"] = name, figure
    return found


def compare(ref: Side, est: Side, known: dict[str, float]) -> dict[str, Any]:
    """One pair: every figure of ours beside mir_eval's, what is not compared, and how far the files can be trusted."""
    figures: dict[str, dict[str, float]] = {}
    compared = set()
    for column, (name, value) in ours(ref, est).items():
        compared.add(name)
        figures[column] = {"ours": value, "mir_eval": known[name], "difference": abs(value - known[name])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pairs with nothing in common
        again = measuring("mir_eval.transcription").evaluate(ref.intervals, ref.hertz, est.intervals, est.hertz)
    return {
        "figures": figures,
        "largest_difference": max(row["difference"] for row in figures.values()),
        "not_compared": sorted(set(known) - compared),
        "mir_eval_itself": max(abs(again[name] - known[name]) for name in known.keys() & again.keys()),
        "ref_notes": len(ref.keys),
        "est_notes": len(est.keys),
        "most_cents_from_a_key": round(max(ref.most_cents, est.most_cents), 3),
    }


def read_known(path: Path) -> dict[str, float]:
    """mir_eval's figures of a pair.

    Raises:
        FormatError: the file is no table of numbers, or a figure that is compared is missing.
    """
    hint = "Take the file as it is in mir_eval's repository, tests/data/transcription."
    try:
        known = {str(name): float(value) for name, value in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise FormatError("a JSON table of numbers", str(error), where=str(path), hint=hint) from None
    if not np.isfinite(list(known.values())).all():
        raise FormatError("finite numbers", "others", where=str(path), hint=hint)
    if missing := [name for name in (*WITHOUT_ENDS, *WITH_ENDS) if name not in known]:
        raise FormatError("all of mir_eval's figures", f"no {', '.join(missing)}", where=str(path), hint=hint)
    return known


def measure(folder: Path) -> dict[str, Any]:
    """All pairs of a folder.

    Raises:
        FormatError: the folder has no pair, or a file of one is missing or malformed.
    """
    numbers = sorted(path.stem.removeprefix("output") for path in folder.glob("output*.json"))
    if not numbers:
        raise FormatError(
            "refNN.txt, estNN.txt and outputNN.json", "no output*.json", where=str(folder),
            hint="The files are in mir_eval's repository, tests/data/transcription.",
        )  # fmt: skip
    pairs = {
        number: compare(
            Side.read(folder / f"ref{number}.txt"),
            Side.read(folder / f"est{number}.txt"),
            read_known(folder / f"output{number}.json"),
        )
        for number in numbers
    }
    return {
        "pairs": {number: pair.pop("figures") for number, pair in pairs.items()},
        "largest_difference": max(pair["largest_difference"] for pair in pairs.values()),
        "bar": BAR,
        "notes": pairs,
        "versions": versions() | {"mir_eval": version("mir_eval")},
    }


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="mir_eval's tests/data/transcription")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    try:
        result = measure(options.folder)
        write_atomically(options.out, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
    except CadenzaError as error:
        parser.exit(2, f"{error}\n")
    print("pair   ref   est  onset F1 (mir_eval)    with ends (mir_eval)   largest difference  mir_eval itself")
    for number, pair in result["notes"].items():
        rows = result["pairs"][number]
        shown = [rows[f"score: {name}"] for name in ("onset_f1", "onset_offset_f1")]
        text = "    ".join(f"{row['ours']:.6f} ({row['mir_eval']:.6f})" for row in shown)
        sizes = f"{pair['ref_notes']:5} {pair['est_notes']:5}"
        print(f"{number:5}{sizes}  {text}    {pair['largest_difference']:18.1e}  {pair['mir_eval_itself']:15.1e}")
    n_figures = sum(len(rows) for rows in result["pairs"].values())
    print(f"{n_figures} figures; largest difference {result['largest_difference']:.1e}, bar {BAR:.0e}")
    return int(not result["largest_difference"] <= BAR)


if __name__ == "__main__":
    raise SystemExit(main())
