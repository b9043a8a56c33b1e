"""Transposition and tempo drawn anew each time a document is seen, on its ids.

Where every pitch and every tempo is a token of its own, moving a document by some semitones is looking each token up in
a table: it costs nothing, and a corpus need not hold twelve copies of each piece. Drums are left alone, and no note
leaves what its document's instruments reach: a document is moved within the room that its own notes have.

For Simplified MIDI told in its fields (:class:`~cadenza.model.vocabulary.Vocabulary`): tracks are named by ``i`` words,
drums have the program 128 in the header.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError
from cadenza.model.vocabulary import Vocabulary
from cadenza.score.instruments import range_of
from cadenza.score.model import Track
from cadenza.train.rows import Codec, Documents

DRUMS = ":g128"
LOWEST, HIGHEST = 21, 108  # a piano's keys: beyond them a document is not moved
MAX_TRACKS = 16


@dataclass(frozen=True)
class Variation:
    """Tables of a vocabulary, and what each document allows.

    Args:
        pitch_of: (V,) pitch that a token names, −1 for others.
        token_of: (128,) token of a pitch.
        tempo_of: (V,) tempo in quarter notes a minute that a token names, 0 for others.
        pitched: (ids,) whether a token of the documents names the pitch of a note that is no drum's.
        down, up: (documents,) semitones by which a document may go down and up.
        semitones: least and greatest transposition that is drawn.
        tempo_factor: least and greatest factor of the tempo.
        seed: of all that is drawn.
    """

    pitch_of: NDArray[np.int64]
    token_of: NDArray[np.int64]
    tempo_of: NDArray[np.float64]
    pitched: NDArray[np.bool_]
    down: NDArray[np.int64]
    up: NDArray[np.int64]
    semitones: tuple[int, int]
    tempo_factor: tuple[float, float]
    seed: int

    @classmethod
    def of(
        cls,
        codec: Codec,
        documents: Documents,
        semitones: tuple[int, int],
        tempo_factor: tuple[float, float],
        seed: int,
    ) -> Variation:
        """The tables for a set of documents.

        Raises:
            ConfigError: the vocabulary has no tokens for pitches, tempos and tracks, or tells them in split streams.
        """
        fields = codec.fields if isinstance(codec, Vocabulary) else ()
        ids = {field: codec.id_of(field) for field in fields}
        pitches = [ids.get(f"p{pitch}") for pitch in range(128)]
        tempos = [field for field in fields if re.fullmatch(r"w\d+(\.\d+)?", field)]
        if None in pitches or not tempos or ids.get("i0") is None or ids.get(DRUMS) is None:
            raise ConfigError(
                "a vocabulary with tokens for pitches, tempos and tracks", "none", where="recipe vary",
                hint="Vary the corpus instead (augment in its recipe).",
            )  # fmt: skip
        if ids.get("d1") is not None:  # a pitch is then told apart from its track: whether it is a drum's is not known
            hint = "Vary the corpus instead (augment in its recipe)."
            raise ConfigError("a notation of one word a note", "split streams", where="recipe vary", hint=hint)
        token_of = np.array(pitches, np.int64)
        pitch_of = np.full(len(codec), -1, np.int64)
        pitch_of[token_of] = np.arange(128)
        tempo_of = np.zeros(len(codec))
        for field in tempos:
            tempo_of[ids[field]] = float(field[1:])
        pitched, down, up = _rooms(documents, pitch_of, ids)
        return cls(pitch_of, token_of, tempo_of, pitched, down, up, semitones, tempo_factor, seed)

    def __call__(self, index: int, visit: int, documents: Documents) -> NDArray[np.int64]:
        """The ids of a document as it is seen for the ``visit``-th time."""
        start, stop = int(documents.starts[index]), int(documents.starts[index + 1])
        ids = documents.ids[start:stop].astype(np.int64)
        if documents.tasks[documents.task[index]] == "transcribe":  # what is written would no longer be what was heard
            return ids
        rng = np.random.default_rng([self.seed, index, visit, 11])
        low, high = max(self.semitones[0], -int(self.down[index])), min(self.semitones[1], int(self.up[index]))
        shift = int(rng.integers(low, high + 1)) if high >= low else 0
        factor = math.exp(rng.uniform(*np.log(self.tempo_factor)))
        if shift:
            moved = self.pitched[start:stop]
            ids[moved] = self.token_of[self.pitch_of[ids[moved]] + shift]
        told = np.flatnonzero(self.tempo_of[ids])
        if len(told) and self.tempo_factor != (1.0, 1.0):
            known = np.flatnonzero(self.tempo_of)
            away = np.log(self.tempo_of[known][None] / (factor * self.tempo_of[ids[told]])[:, None])
            ids[told] = known[np.abs(away).argmin(1)]
        return ids


def _rooms(
    documents: Documents, pitch_of: NDArray[np.int64], ids: dict[str, int | None]
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """(which tokens are pitches of notes, semitones down, semitones up) over all documents."""
    track_of = np.full(len(pitch_of), -1, np.int16)
    program_of = np.full(len(pitch_of), -1, np.int16)
    low, high = np.zeros(129, np.int16), np.full(129, 127, np.int16)
    for number in range(MAX_TRACKS):
        token = ids.get(f"i{number}")
        if token is not None:
            track_of[token] = number
    for number in range(129):
        token = ids.get(f":g{number}")
        if token is not None:
            program_of[token] = number
        if number < 128:
            reach = range_of(Track(program=number))
            low[number], high[number] = max(reach[0], LOWEST), min(reach[1], HIGHEST)
    tokens = documents.ids
    track, program = track_of[tokens], program_of[tokens]
    pitch = pitch_of.astype(np.int16)[tokens]
    lengths = documents.lengths
    starts = np.repeat(documents.starts[:-1], lengths)
    # The track that holds at each note, and the program that the last header of its document gave to that track.
    notes = np.flatnonzero(pitch >= 0)
    named = np.flatnonzero(track >= 0)
    told = np.full(len(notes), -1, np.int16)
    if len(named):
        place = np.searchsorted(named, notes, side="right") - 1
        at = named[place.clip(0)]
        now = np.where((place >= 0) & (at >= starts[notes]), track[at], -1)
        following = np.append(program[1:], np.int16(-1))
        for number in np.unique(now[now >= 0]).tolist():
            given = np.flatnonzero((track == number) & (following >= 0))
            held = np.flatnonzero(now == number)
            if not len(given):
                continue
            which = np.searchsorted(given, notes[held], side="right") - 1
            source = given[which.clip(0)]
            known = (which >= 0) & (source >= starts[notes[held]])
            told[held] = np.where(known, following[source], -1)
    moves = (told >= 0) & (told < 128)
    pitched = np.zeros(len(tokens), bool)
    pitched[notes[moves]] = True
    document = np.searchsorted(documents.starts, notes[moves], side="right") - 1
    heard, by = pitch[notes[moves]], told[moves]
    down, up = np.full(len(documents), 127, np.int64), np.full(len(documents), 127, np.int64)
    np.minimum.at(down, document, np.maximum(heard - low[by], 0))
    np.minimum.at(up, document, np.maximum(high[by] - heard, 0))
    still = np.bincount(document, minlength=len(documents)) == 0
    down[still] = up[still] = 0
    return pitched, down, up
