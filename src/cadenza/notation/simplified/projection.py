"""What Simplified MIDI loses, option by option, as Edits; and its vocabulary."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from cadenza.base.errors import ConfigError
from cadenza.notation.simplified import bends as bend_codes
from cadenza.score import edit
from cadenza.score.edit import Edit
from cadenza.score.model import BEND_DTYPE, BarMark, Metre, Score, Tempo, Track
from cadenza.score.time import DEFAULT_METRE, bar_table, bar_ticks, metre_at, tempo_at, ticks_to_seconds

if TYPE_CHECKING:
    from cadenza.notation.simplified.notation import SimplifiedMidi

#: Durations in ticks that ``durations="table"`` keeps; at 24 a quarter: all up to two quarters, then coarser.
DURATION_TABLE = (*range(1, 49), *range(54, 97, 6), *range(108, 193, 12), *range(216, 385, 24))
#: Tempos that ``header="first"`` keeps, in quarter notes a minute.
TEMPO_TABLE = tuple(range(40, 241, 4))
#: Lengths of rest and of steps within a bar that get whole tokens.
MAX_STEP_TICKS = 192
MAX_MODEL_TRACKS = 16
MAX_BENT_NOTES = 64  # of a bar told in split streams
MAX_BEND_CENTS, MIN_BEND_CENTS = 400, -200


def option(text: str, what: str, known: tuple[str, ...]) -> tuple[str, int]:
    """``"bins:8"`` → ("bins", 8); ``"keep"`` → ("keep", 0).

    Raises:
        ConfigError: not one of ``known``, or no number where one belongs.
    """
    kind, colon, number = text.partition(":")
    takes_number = kind in ("bins", "auto", "grid", "flat")
    if kind not in known or bool(colon) != takes_number or (colon and not number.isdecimal()):
        raise ConfigError(f"{what} to be one of {', '.join(known)} (with :N where it counts)", repr(text))
    return kind, int(number or 0)


def velocities(score: Score) -> set[int]:
    """The distinct velocities of a score."""
    return {int(v) for track in score.tracks for v in np.unique(track.notes["velocity"])}


def of(notation: SimplifiedMidi) -> tuple[Edit, ...]:
    """The Edits that encoding in ``notation`` applies, in order."""
    edits: list[Edit] = []
    published = notation.profile == "published"
    edits.append(_plain_notes())
    kind, count = option(notation.resolution, "resolution", ("file", "grid", "flat"))
    if kind == "flat":
        edits.append(flatten_tempo(count))  # while the tempos are there
    if published:
        edits += [_no_frame(), _merged() if notation.layout == "interleaved" else _without_empty_tracks(), _anonymous()]
    else:
        edits.append(_no_drum_program())
    if kind == "grid":
        edits.append(edit.rescale(count, exact=False))
    edits += frame_edits(notation)
    if notation.durations == "table":
        edits.append(table_durations())
    edits += _bend_edits(notation)
    edits += _velocity_edits(notation.velocity)
    if published:
        edits += [
            _from_first_note(by_track=notation.layout == "by_track"),
            edit.relabel_resolution(notation.ticks_per_quarter),
        ]
        if notation.resolution != "file":
            edits.append(edit.drop_field("drops tempos", tempos=()))
    elif notation.bars:
        edits.append(_full_bars(by_track=notation.layout == "by_track"))
    return tuple(edits)


def frame_edits(notation: SimplifiedMidi) -> list[Edit]:
    """Those for tempos, metres, keys and bar lines, on the final grid (where a mark may have met a bar line)."""
    if notation.profile == "published":
        return []
    return [_bar_lines_only(), _first_of_each()] if notation.header == "first" else [_bar_lines_only()]


def _plain_notes() -> Edit:
    steps = (
        edit.drop_techniques(),
        edit.drop_frets(),
        edit.drop_voices(),
        edit.drop_spelling(),
        edit.drop_controls(),
        edit.drop_written(),
    )
    return Edit(
        "drops playing techniques, strings and frets of notes, voices, spelling, controllers and written note values",
        lambda score: edit.project(score, steps),
    )


def _no_frame() -> Edit:
    return edit.drop_field(
        "drops tempo, metre, key, bars, repeats, markers, title and composer",
        tempos=(), metres=(), keys=(), bars=(), markers=(), title="", composer="",
    )  # fmt: skip


def _bar_lines_only() -> Edit:
    def apply(score: Score) -> Score:
        # Walked once: a bar line is implied where whole bars lead to it from the last metre or mark.
        metres = {metre.onset_ticks: metre for metre in score.metres}
        anchors = sorted({*metres, *(mark.onset_ticks for mark in score.bars)})
        marks: list[BarMark] = []
        start, metre = 0, metres.get(0, Metre(0, *DEFAULT_METRE))
        for onset in anchors:
            if onset >= score.length_ticks:
                break
            if onset in metres:
                start, metre = onset, metres[onset]
            elif (onset - start) % bar_ticks(metre, score.ticks_per_quarter):
                marks.append(BarMark(onset))
                start = onset
        return replace(score, bars=tuple(marks), markers=(), title="", composer="")

    return Edit("drops repeat marks, section markers, title and composer", apply)


def _no_drum_program() -> Edit:
    return Edit(
        "drops the program number of drum tracks",
        lambda score: score.map_tracks(lambda t: replace(t, program=0) if t.is_drums and t.program else t),
    )


def _merged() -> Edit:
    def apply(score: Score) -> Score:
        return edit.merge_tracks().apply(score) if score.n_notes else replace(score, tracks=())

    return Edit("merges all tracks into one", apply)


def _without_empty_tracks() -> Edit:
    return Edit("drops tracks without notes", lambda score: score.with_tracks(t for t in score.tracks if len(t)))


def _anonymous() -> Edit:
    return edit.drop_track_field(
        "drops names, programs, drum flags, tunings and capos",
        name="", program=0, is_drums=False, tuning=(), capo_fret=0,
    )  # fmt: skip


def _from_first_note(by_track: bool) -> Edit:
    def apply(score: Score) -> Score:
        first = min((int(t.notes["onset_ticks"][0]) for t in score.tracks if len(t)), default=0)

        def shift(track: Track) -> Track:
            if not len(track):
                return track
            notes = track.notes.copy()
            notes["onset_ticks"] -= notes["onset_ticks"][0] if by_track else first
            return track.with_notes(notes)

        moved = [shift(track) for track in score.tracks]
        return replace(score, tracks=tuple(moved), length_ticks=max((t.end_ticks for t in moved), default=0))

    each = "each track" if by_track else "the piece"
    return Edit(f"starts {each} at its first note, ends at the last", apply)


def _first_of_each() -> Edit:
    def apply(score: Score) -> Score:
        tempo, metre = tempo_at(score, 0), metre_at(score, 0)
        return replace(
            score,
            tracks=tuple(
                replace(t, name="", tuning=(), capo_fret=0) if t.name or t.tuning or t.capo_fret else t
                for t in score.tracks
            ),
            tempos=(nearest_tempo(tempo.quarters_per_minute),),
            metres=(Metre(0, metre.numerator, metre.denominator),),
            keys=(),
            bars=(),
        )

    return Edit("keeps only the first tempo (to 4 a minute) and metre; drops keys, names, tunings, short bars", apply)


@lru_cache(maxsize=1024)
def nearest_tempo(quarters_per_minute: float) -> Tempo:
    """The nearest of :data:`TEMPO_TABLE`."""
    return Tempo(0, float(min(TEMPO_TABLE, key=lambda tempo: abs(tempo - quarters_per_minute))))


def table_durations() -> Edit:
    """Durations at the nearest of :data:`DURATION_TABLE` (the shorter of two as near)."""

    def change(track: Track) -> Track:
        durations = nearest_durations(track.notes["duration_ticks"])
        if np.array_equal(durations, track.notes["duration_ticks"]):
            return track
        notes = track.notes.copy()
        notes["duration_ticks"] = durations
        return track.with_notes(notes, _inside(track.bends, notes["duration_ticks"]))

    return Edit(
        f"rounds durations to a list of {len(DURATION_TABLE)}, up to {DURATION_TABLE[-1]} ticks",
        lambda score: score.map_tracks(change),
    )


def nearest_durations(durations: np.ndarray) -> np.ndarray:
    """The nearest of :data:`DURATION_TABLE` to each."""
    return NEAREST[np.minimum(durations, DURATION_TABLE[-1])]


def _nearest_in_table() -> np.ndarray:
    table, durations = np.array(DURATION_TABLE, np.int64), np.arange(DURATION_TABLE[-1] + 1)
    upper = np.clip(np.searchsorted(table, durations), 1, len(table) - 1)
    low, high = table[upper - 1], table[upper]
    return np.where(durations - low <= high - durations, low, high)  # of two as near the shorter


#: The nearest of :data:`DURATION_TABLE` to 0, 1, 2 … ticks; the last stands for all that are longer.
NEAREST = _nearest_in_table()


def _inside(bends: np.ndarray, durations: np.ndarray) -> np.ndarray:
    return bends[bends["offset_ticks"] <= durations[bends["note"]]] if len(bends) else bends


def flatten_tempo(ticks_per_quarter: int) -> Edit:
    """Real time: one tempo of 120 throughout, so that a tick lasts 500/``ticks_per_quarter`` milliseconds."""

    def apply(score: Score) -> Score:
        def at(tick: int) -> int:
            return round(float(ticks_to_seconds(score, tick)) * 2 * ticks_per_quarter)

        def of_all(ticks: np.ndarray) -> np.ndarray:
            return np.rint(ticks_to_seconds(score, ticks) * 2 * ticks_per_quarter).astype(np.int64)

        flat = edit.retimed(replace(score, tempos=(), metres=(), keys=(), bars=()), ticks_per_quarter, at, of_all)
        return replace(flat, tempos=(Tempo(0, 120.0),))

    return Edit(
        f"counts time in ticks of {500 / ticks_per_quarter:.3g} ms at one tempo; drops tempo changes, metres and keys",
        apply,
    )


def _bend_edits(notation: SimplifiedMidi) -> list[Edit]:
    if notation.bend == "none":
        return [edit.drop_bends()]
    if notation.profile == "published":
        return [_struck_again()]
    if notation.bend == "published":
        code = np.vectorize(lambda c: bend_codes.code_to_cents(bend_codes.cents_to_code(c)), otypes=[np.int64])
        return [_bend_values("rounds bends to 46 levels within two semitones", code)]
    if notation.bend_step_cents > 1:
        step = notation.bend_step_cents

        def on_grid(cents: np.ndarray) -> np.ndarray:
            return np.clip(bend_codes.on_step(cents, step), MIN_BEND_CENTS, MAX_BEND_CENTS)

        return [
            edit.simplify_bends(step / 2),
            _bend_values(f"rounds bends to {step} cents, from {MIN_BEND_CENTS} to {MAX_BEND_CENTS}", on_grid),
        ]
    return []


def _bend_values(says: str, function) -> Edit:  # type: ignore[no-untyped-def]
    def change(track: Track) -> Track:
        if not len(track.bends):
            return track
        bends = track.bends.copy()
        bends["cents"] = function(bends["cents"])
        return track.with_notes(track.notes, bends)

    return Edit(says, lambda score: score.map_tracks(change))


def _struck_again() -> Edit:
    def change(track: Track) -> Track:
        if not len(track.bends):
            return track
        rows: list[np.ndarray] = []
        bends: list[tuple[int, int, int]] = []
        for row in range(len(track)):
            points = track.bends_of(row)
            note = track.notes[row]
            if points:
                offsets, cents = np.array([p.offset_ticks for p in points]), np.array([p.cents for p in points])
                changes = bend_codes.code_changes(offsets, cents, int(note["duration_ticks"]))
            else:
                changes = [(0, bend_codes.NO_BEND_CODE)]
            for offset, code in changes:
                word = note.copy()
                word["onset_ticks"] += offset
                word["duration_ticks"] -= offset
                if code != bend_codes.NO_BEND_CODE:
                    bends.append((len(rows), 0, bend_codes.code_to_cents(code)))
                rows.append(word)
        return track.with_notes(np.array(rows, track.notes.dtype), np.array(bends, BEND_DTYPE))

    return Edit(
        "rounds bends to 46 levels within two semitones and strikes a note again where its bend changes",
        lambda score: score.map_tracks(change),
    )


def _velocity_edits(velocity: str) -> list[Edit]:
    kind, count = option(velocity, "velocity", ("keep", "drop", "bins", "auto"))
    if kind == "drop":
        return [edit.drop_velocity()]
    if kind == "bins":
        return [edit.bin_velocity(count)]
    if kind == "auto":
        level = edit.drop_velocity()
        return [
            Edit(
                f"drops velocity where the music holds at most {count} distinct values",
                lambda score: level.apply(score) if len(velocities(score)) <= count else score,
            )
        ]
    return []


def _full_bars(by_track: bool) -> Edit:
    def apply(score: Score) -> Score:
        if not (score.length_ticks or score.n_notes) or (by_track and not score.tracks):
            return replace(score, length_ticks=0, bars=())  # with no line there is no bar
        last_onset = max((int(t.notes["onset_ticks"][-1]) for t in score.tracks if len(t)), default=0)
        table = bar_table(score, max(score.length_ticks, last_onset + 1))
        return replace(score, length_ticks=int(table.ends_ticks[-1]))

    return Edit("lengthens the last bar to its full length", apply)


def vocabulary(notation: SimplifiedMidi) -> list[str]:
    """Every field of the form used with models, as strings (words' first fields bare, others with their colon)."""
    _, resolution = option(notation.resolution, "resolution", ("file", "grid", "flat"))
    kind, bins = option(notation.velocity, "velocity", ("keep", "drop", "bins", "auto"))
    every_velocity = np.arange(1, 128)
    levels = np.unique(edit.velocity_bin(every_velocity, bins)) if kind == "bins" else every_velocity
    durations = DURATION_TABLE if notation.durations == "table" else range(MAX_STEP_TICKS + 1)
    out = ["\n"]
    if notation.profile == "cadenza":
        out += [f"q{resolution or notation.ticks_per_quarter}"]
        out += [f"w{tempo}" for tempo in TEMPO_TABLE]
        out += [f"m{n}/{d}" for d in (2, 4, 8, 16) for n in range(1, 17)]
        out += [f"i{i}" for i in range(MAX_MODEL_TRACKS)] + [f":g{g}" for g in range(129)]
        out += ["|"] if notation.bars else []
        out += [f"t{t}" for t in range(1, MAX_STEP_TICKS + 1)]
    out += [f"p{p}" for p in range(128)]
    part = "" if notation.streams == "split" else ":"  # velocities and durations are words, or parts of a note's
    out += [f"{part}v{v}" for v in levels] if notation.has_velocity else []
    out += [f"{part}d{d}" for d in durations]
    out += [f":t{t}" for t in range(1 if notation.compact else 0, MAX_STEP_TICKS + 1)]
    if notation.bend != "none":
        if notation.streams == "split":
            out += [f"n{n}" for n in range(MAX_BENT_NOTES)]
        if notation.profile == "cadenza":
            out += [f":o{o}" for o in range(97)]
        if notation.bend == "published":
            out += [f":b{b}" for b in range(bend_codes.MAX_BEND_CODE + 1)]
        else:
            step = notation.bend_step_cents
            out += [f":b{b}" for b in range(MIN_BEND_CENTS, MAX_BEND_CENTS + 1, step)]
    return out
