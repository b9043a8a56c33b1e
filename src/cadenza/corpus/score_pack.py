"""Many pieces as they sound, flattened to a few arrays in one .npz: what training audio is synthesised from.

Seconds instead of ticks, repeats written out, techniques and pedals as lengths and pitch curves (see
:mod:`cadenza.formats._performance`); no names, no texts. Three thousand pieces take a few megabytes and load in a
moment, so a machine that has nothing but this file and some soundfonts can train the ear.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import CadenzaError, FormatError
from cadenza.base.files import write_atomically
from cadenza.corpus.store import Piece
from cadenza.formats._performance import perform

SPLITS = ("train", "validation", "test")
MIN_NOTES, MIN_SECONDS = 16, 4.0

#: One note; ``track`` counts rows of the track table.
PACKED_NOTE = np.dtype(
    [
        ("onset_seconds", "f4"),
        ("end_seconds", "f4"),
        ("pitch", "u1"),
        ("velocity", "u1"),
        ("track", "u2"),
        ("curve", "i4"),  # row of ``curve_first``, −1 for a note that stays on its pitch
    ]
)
PACKED_TRACK = np.dtype([("program", "u1"), ("is_drums", "?")])
PACKED_PIECE = np.dtype([("source", "U24"), ("split", "u1"), ("first_note", "i8"), ("first_track", "i4")])
CURVE_POINT = np.dtype([("seconds", "f4"), ("cents", "f4")])


@dataclass(frozen=True)
class ScorePack:
    """Pieces in seconds.

    Args:
        pieces: shape (p + 1,), :data:`PACKED_PIECE`; the last row only closes the ranges of the one before.
        notes: shape (n,), :data:`PACKED_NOTE`, by piece and onset; ``track`` counts from the piece's first track.
        tracks: shape (t,), :data:`PACKED_TRACK`, by piece.
        curve_first: shape (c + 1,), the first point of each pitch curve.
        curve_points: shape (m,), :data:`CURVE_POINT`, seconds after the note's onset.
    """

    pieces: NDArray[np.void]
    notes: NDArray[np.void]
    tracks: NDArray[np.void]
    curve_first: NDArray[np.int64]
    curve_points: NDArray[np.void]

    def __len__(self) -> int:
        return len(self.pieces) - 1

    def numbers(self, split: str) -> NDArray[np.int64]:
        """The numbers of the pieces of a split."""
        return np.flatnonzero(self.pieces["split"][:-1] == SPLITS.index(split))

    def notes_of(self, number: int) -> NDArray[np.void]:
        """The notes of one piece, by onset."""
        first, stop = self.pieces["first_note"][number : number + 2]
        return self.notes[first:stop]

    def tracks_of(self, number: int) -> NDArray[np.void]:
        """The tracks of one piece."""
        first, stop = self.pieces["first_track"][number : number + 2]
        return self.tracks[first:stop]

    def source_of(self, number: int) -> str:
        """The collection that a piece is from."""
        return str(self.pieces["source"][number])

    def curve(self, row: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(seconds after the onset, cents) of one pitch curve."""
        points = self.curve_points[self.curve_first[row] : self.curve_first[row + 1]]
        return points["seconds"], points["cents"]

    def save(self, path: Path | str) -> None:
        """Write one compressed .npz, atomically; times to the millisecond, one column an array (they pack better)."""
        start = np.repeat(self.pieces["first_note"][:-1], np.diff(self.pieces["first_note"]))
        onset = np.rint(self.notes["onset_seconds"].astype(np.float64) * 1000).astype(np.int64)
        step = np.diff(onset, prepend=0)
        step[np.arange(len(onset)) == start] = onset[np.arange(len(onset)) == start]
        length = np.rint(1000 * (self.notes["end_seconds"] - self.notes["onset_seconds"].astype(np.float64)))
        buffer = io.BytesIO()
        np.savez_compressed(
            buffer,
            pieces=self.pieces,
            tracks=self.tracks,
            curve_first=self.curve_first,
            curve_points=self.curve_points,
            step_milliseconds=step.astype(np.int32),
            length_milliseconds=np.clip(length, 0, None).astype(np.int32),
            pitch=self.notes["pitch"],
            velocity=self.notes["velocity"],
            track=self.notes["track"],
            curve=self.notes["curve"],
        )
        write_atomically(path, buffer.getvalue())

    @classmethod
    def load(cls, path: Path | str) -> ScorePack:
        """Read what :meth:`save` wrote.

        Raises:
            FormatError: it is no such file.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                pieces, step = stored["pieces"], stored["step_milliseconds"].astype(np.int64)
                notes = np.zeros(len(step), PACKED_NOTE)
                total = np.concatenate([[0], np.cumsum(step)])
                first = pieces["first_note"]
                onset = total[1:] - np.repeat(total[first[:-1]], np.diff(first))
                notes["onset_seconds"] = onset / 1000
                notes["end_seconds"] = (onset + stored["length_milliseconds"]) / 1000
                for name in ("pitch", "velocity", "track", "curve"):
                    notes[name] = stored[name]
                rest = {name: stored[name] for name in ("pieces", "tracks", "curve_first", "curve_points")}
                return cls(notes=notes, **rest)
        except (OSError, ValueError, KeyError) as error:
            raise FormatError("a score pack (.npz)", str(error), where=str(path)) from error


def pack(pieces: Iterable[Piece], max_seconds: float = 1800.0) -> ScorePack:
    """The pieces that have a split, last long enough to cut a clip from and can be performed."""
    rows, notes, tracks = [], [], []
    n_notes = n_tracks = n_points = 0
    curve_first: list[int] = []
    points: list[Any] = []
    for piece in pieces:
        if piece.split not in SPLITS or piece.score.n_notes < MIN_NOTES:
            continue
        try:
            performance = perform(piece.score, max_seconds)
        except CadenzaError:  # repeats that unfold without end, or a piece of hours
            continue
        parts = [part for part in performance.parts if len(part.notes)]
        if performance.duration_seconds < MIN_SECONDS or not parts:
            continue
        rows.append((piece.source, SPLITS.index(piece.split), n_notes, n_tracks))
        own = []
        for number, part in enumerate(parts):
            out = np.zeros(len(part.notes), PACKED_NOTE)
            for name in ("onset_seconds", "end_seconds", "pitch", "velocity"):
                out[name] = part.notes[name]
            out["track"], out["curve"] = number, -1
            for row in np.flatnonzero(part.notes["curve"] >= 0):
                seconds, cents = part.curves[int(part.notes["curve"][row])]
                out["curve"][row] = len(curve_first)
                curve_first.append(n_points)
                curve = np.zeros(len(seconds), CURVE_POINT)
                curve["seconds"], curve["cents"] = seconds, cents
                points.append(curve)
                n_points += len(curve)
            own.append(out)
            tracks.append((part.program, part.is_drums))
        together = np.concatenate(own)
        notes.append(together[np.argsort(together["onset_seconds"], kind="stable")])
        n_notes += len(together)
        n_tracks += len(parts)
    rows.append(("", len(SPLITS), n_notes, n_tracks))
    return ScorePack(
        np.array(rows, PACKED_PIECE),
        np.concatenate([np.zeros(0, PACKED_NOTE), *notes]),
        np.array(tracks, PACKED_TRACK),
        np.array([*curve_first, n_points], np.int64),
        np.concatenate([np.zeros(0, CURVE_POINT), *points]),
    )
