"""The music of the notation table: excerpts that every notation compared tells note for note.

An excerpt is up to eight bars of one metre from a piece of a built corpus (its folder ``work``), as models see pieces
(24 places a quarter, drums on twelfths, no doubled notes), brought to the fields that Simplified MIDI, ABC and DadaGP
all keep: onset, length, pitch, instrument (DadaGP's twelve families), metre, and a tempo in twenties. What DadaGP's
strings cannot play is left out there; excerpts that would lose more than a tenth of their notes so are not taken, so
the music is rather thinner than the corpus. Velocities are put back from the piece, in ABC's eight dynamics.

Every excerpt is checked: the text of every cell of the table decodes to these very notes, and is no longer than the
context. So all cells are trained on, and judged by, one set of the same music.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.corpus.build import rng_for
from cadenza.corpus.excerpts import viewed
from cadenza.corpus.store import Piece, load_pieces, save_pieces
from cadenza.notation.abc import Abc
from cadenza.notation.base import Notation
from cadenza.notation.dadagp import DadaGP
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.score import edit
from cadenza.score.model import Score, Tempo
from cadenza.score.time import bar_table, tempo_at

BARS, LEAST_BARS, LEAST_NOTES = 8, 4, 8
MOST_LOST = 0.1
TEMPO_STEP = 20  # DadaGP tells tempos in tens, Simplified MIDI's short header in fours
MAX_ROUNDS = 8
PER_PIECE, TRAIN_SHARE = 4, 0.3
DRUMS, MOST_HELD_DRUMS = "groove", 60

SIMPLIFIED = SimplifiedMidi(bend="none", velocity="drop", resolution="grid:24", header="first", bars=True, compact=True)
#: Those whose common fields are taken, the form that scores are compared in last.
NOTATIONS: tuple[Notation, ...] = (DadaGP(original=False), Abc(velocity="drop"), SIMPLIFIED)
#: The same for velocities.
LOUD: tuple[Notation, ...] = (Abc(), replace(SIMPLIFIED, velocity="keep"))


@dataclass(frozen=True)
class Excerpt:
    """One excerpt.

    Args:
        group: its group of works; groups do not cross splits.
        source: the collection.
        score: its common fields, velocities of one level.
        loud: the same with the piece's velocities.
    """

    group: str
    source: str
    score: Score
    loud: Score


def fixed(score: Score, notations: Sequence[Notation]) -> Score | None:
    """The score as the last of ``notations`` keeps it, once no projection changes that; None where they never agree."""
    for _ in range(MAX_ROUNDS):
        before = score
        for notation in notations:
            score = edit.project(score, notation.projection)
        if score == before:
            return score
    return None


def common(part: Score) -> tuple[Score, Score] | None:
    """The common fields of some bars, without and with velocities; None where too much is lost."""
    tempo = max(TEMPO_STEP * round(tempo_at(part, 0).quarters_per_minute / TEMPO_STEP), 2 * TEMPO_STEP)
    plain = replace(part, tempos=(Tempo(0, float(min(tempo, 240))),), keys=(), bars=())
    bare = fixed(plain, NOTATIONS)
    if bare is None or bare.n_notes < max(LEAST_NOTES, (1 - MOST_LOST) * part.n_notes):
        return None
    loud = fixed(_with_velocities(bare, plain), LOUD)
    if loud is None or edit.drop_velocity()(loud) != edit.drop_velocity()(bare):
        return None
    return bare, loud


def _with_velocities(bare: Score, part: Score) -> Score:
    """``bare`` with the velocity of the loudest note of ``part`` of the same onset and pitch; where there is none, of
    the last note before."""
    said: dict[tuple[bool, int, int], int] = {}
    for track in part.tracks:
        for note in track.notes:
            place = (track.is_drums, int(note["onset_ticks"]), int(note["pitch"]))
            said[place] = max(said.get(place, 0), int(note["velocity"]))
    last = 80
    tracks = []
    for track in bare.tracks:
        notes = track.notes.copy()
        for row, note in enumerate(notes):
            last = said.get((track.is_drums, int(note["onset_ticks"]), int(note["pitch"])), last)
            notes["velocity"][row] = last
        tracks.append(track.with_notes(notes, track.bends))
    return bare.with_tracks(tracks)


def excerpts_of(piece: Piece, group: str, most: int, rng: np.random.Generator) -> Iterator[Excerpt]:
    """At most ``most`` excerpts of a piece, drawn; no two share a bar."""
    places = []
    runs = [part for _, part, _ in viewed(piece.score)]
    for index, part in enumerate(runs):
        n_bars = len(bar_table(part))
        places += [(index, bar, min(bar + BARS, n_bars)) for bar in range(0, n_bars - LEAST_BARS + 1, BARS)]
    found = 0
    for at in rng.permutation(len(places)):
        if found == most:
            return
        index, bar, stop = places[at]
        try:
            made = common(edit.select_bars(bar, stop).apply(runs[index]))
        except CadenzaError:
            continue
        if made is not None:
            found += 1
            yield Excerpt(group, piece.source, *made)


def chunks(work: Path, splits: Sequence[str]) -> list[int]:
    """The chunks of a built corpus that hold pieces of these splits."""
    found = json.loads((work / "decisions.json").read_bytes())["chunks"]
    return [
        index
        for index, entries in enumerate(found)
        if any(not entry["dropped"] and entry["split"] in splits for entry in entries)
    ]


def excerpts(work: Path, index: int, splits: Sequence[str]) -> Iterator[Excerpt]:
    """Excerpts of a chunk's pieces of these splits: for training :data:`PER_PIECE` each of a share of the pieces (of
    drum performances, which are many and alike, one); else one each of all."""
    entries = json.loads((work / "decisions.json").read_bytes())["chunks"][index]
    training = "train" in splits
    for piece, entry in zip(load_pieces(work / f"ingest-{index:05d}.npz"), entries, strict=True):
        rng = rng_for(0, piece.path)
        if entry["dropped"] or entry["split"] not in splits or (training and rng.random() >= TRAIN_SHARE):
            continue
        most = PER_PIECE if training and piece.source != DRUMS else 1
        yield from excerpts_of(piece, entry["group"], most, rng)


def save(path: Path, found: Sequence[Excerpt]) -> None:
    """Write excerpts to one file: two scores each."""
    pieces = [
        Piece(work_id=one.group, source=one.source, licence="", attribution="", score=score)
        for one in found
        for score in (one.score, one.loud)
    ]
    save_pieces(path, pieces)


def load(path: Path) -> list[Excerpt]:
    """What :func:`save` wrote."""
    pieces = load_pieces(path)
    return [
        Excerpt(bare.work_id, bare.source, bare.score, loud.score)
        for bare, loud in zip(pieces[::2], pieces[1::2], strict=True)
    ]


def described(found: Sequence[Excerpt]) -> dict[str, Any]:
    """Counts by source."""
    notes: Counter[str] = Counter()
    count: Counter[str] = Counter()
    for one in found:
        notes[one.source] += one.score.n_notes
        count[one.source] += 1
    return {
        "excerpts": len(found),
        "groups of works": len({one.group for one in found}),
        "notes": sum(notes.values()),
        "by source": {name: {"excerpts": count[name], "notes": notes[name]} for name in sorted(count)},
    }


def write_json(path: Path, found: Any) -> None:
    """As everywhere in the results."""
    write_atomically(path, (json.dumps(found, indent=1, ensure_ascii=False) + "\n").encode())
