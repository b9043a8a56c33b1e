"""Voices of a quartet, hymn or song re-orchestrated as a rock band: lead, rhythm, bass, drums.

No clean corpus of band music exists, so it is made: the melody becomes a lead guitar, the harmony (estimated beat by
beat from all that sounds) a rhythm guitar of power chords, chugs, strums or arpeggios, or the inner voices as they
are, the lowest voice a bass; a Groove performance of the same metre, looped and cut on bar lines, plays along.
Everything lies on 24 ticks a quarter. What was drawn is recorded with the result.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from cadenza.base.errors import CadenzaError
from cadenza.corpus.store import Piece
from cadenza.score.edit import rescale, select_bars, transpose
from cadenza.score.model import (
    NO_FRET,
    NO_SPELLING,
    NOTE_DTYPE,
    STANDARD_TUNINGS,
    NoteArray,
    Score,
    Technique,
    Tempo,
    Track,
)
from cadenza.score.repeats import unfold
from cadenza.score.time import BarTable, bar_table

GRID = 24  # ticks a quarter
EIGHTH, SIXTEENTH = GRID // 2, GRID // 4
SOURCES = {"openscore_lieder": 1, "openscore_quartets": 8, "openhymnal": 2, "mutopia": 1}  # arrangements of a piece
MIN_BARS, MAX_BARS = 8, 64
GUITAR = (40, 86)
BASS = (28, 60)
CHORD_BODY = (40, 52)  # roots of power chords

# style → (lead program, rhythm program, how the rhythm guitar plays)
STYLES: dict[str, tuple[tuple[int, ...], tuple[int, ...], tuple[str, ...]]] = {
    "metal": ((30,), (30,), ("chug", "gallop", "power_eighths")),
    "rock": ((29, 30), (29, 30), ("power_sustain", "power_eighths", "chug", "power_rhythm")),
    "indie": ((27, 29), (27, 29), ("arpeggio", "strum", "voices", "power_sustain")),
    "acoustic": ((25, 24), (25, 24), ("strum", "arpeggio", "voices")),
    "jazz": ((26, 27), (26,), ("voices", "strum", "comp")),
}
BASS_PROGRAMS = (33, 34)


@dataclass(frozen=True)
class Groove:
    """One drum performance on the grid.

    Args:
        metre: (numerator, denominator).
        hits: shape (n, 3): tick, key, velocity; rising.
        n_bars: whole bars.
    """

    metre: tuple[int, int]
    hits: np.ndarray
    n_bars: int
    path: str
    is_fill: bool

    @property
    def bar_ticks(self) -> int:
        """Length of one bar."""
        return GRID * 4 * self.metre[0] // self.metre[1]


def drum_kit(pieces: Iterable[Piece]) -> list[Groove]:
    """The Groove performances among ``pieces``, quantised."""
    kit = []
    for piece in pieces:
        if piece.source != "groove" or not piece.score.tracks or not piece.score.metres:
            continue
        notes = piece.score.tracks[0].notes
        tick = (notes["onset_ticks"] * 2 * GRID + piece.score.ticks_per_quarter) // (2 * piece.score.ticks_per_quarter)
        metre = piece.score.metres[0]
        hits = np.stack([tick, notes["pitch"], notes["velocity"]], axis=1).astype(np.int64)
        hits = hits[np.lexsort([-hits[:, 2], hits[:, 1], hits[:, 0]])]
        fresh = np.append(True, (np.diff(hits[:, :2], axis=0) != 0).any(axis=1))
        bar = GRID * 4 * metre.numerator // metre.denominator
        n_bars = max(round(int(hits[-1, 0]) / bar), 1)
        kit.append(
            Groove((metre.numerator, metre.denominator), hits[fresh], n_bars, piece.path, piece.style.endswith("fill"))
        )
    return kit


def written_out(score: Score) -> Score | None:
    """``score`` with its repeats written out; None where they never end or pass the limit."""
    if not any(mark.repeat_close or mark.endings for mark in score.bars):
        return score
    try:
        return unfold()(score)
    except CadenzaError:
        return None


def arrange(score: Score, kit: Sequence[Groove], rng: np.random.Generator) -> tuple[dict[str, Any], Score] | None:
    """An arrangement of a passage of ``score`` (8–64 bars) and the record of its draws; None where it carries none.

    Repeats are not followed: write them out first (:func:`written_out`).
    """
    passage, record = _passage(score, rng)
    if passage is None:
        return None
    everything = _without_graces(np.concatenate([t.notes for t in passage.tracks if not t.is_drums]))
    voices = [_without_graces(t.notes) for t in passage.tracks if not t.is_drums]
    voices = [v for v in voices if len(v) >= 8]
    table = bar_table(passage)
    end = int(table.ends_ticks[-1])
    if not voices or len(everything) < 2 * len(table) or (everything["pitch"].max() - everything["pitch"].min()) < 12:
        return None
    style = str(rng.choice(list(STYLES), p=[0.25, 0.35, 0.15, 0.15, 0.10]))
    leads, rhythms, ways = STYLES[style]
    way = str(rng.choice(ways))
    chords = _chords(everything, table, GRID * int(rng.choice([1, 2])))
    lead, lead_from = _lead(voices, everything, end)
    low, bass_way = _bass(voices, everything, chords, table, rng)
    tracks = [
        _track("Lead Guitar", int(rng.choice(leads)), "guitar", lead, GUITAR, 67),
        _track(
            "Rhythm Guitar",
            int(rng.choice(rhythms)),
            "guitar",
            _rhythm(way, voices, everything, chords, rng),
            (40, 79),
            0,
        ),
    ]
    if len(voices) >= 4 and way != "voices" and rng.random() < 0.35:
        inner = _rhythm("voices", voices, everything, chords, rng)
        tracks.insert(1, _track("Guitar 2", int(rng.choice(leads)), "guitar", inner, (40, 79), 0))
    tracks.append(_track("Bass", int(rng.choice(BASS_PROGRAMS)), "bass", low, BASS, 38))
    drums, drum_record = _drums(kit, table, rng)
    tracks.append(Track(name="Drums", is_drums=True, notes=drums))
    if sum(len(t) > 4 for t in tracks) < 4:
        return None
    factor = float(rng.uniform(0.8, 1.25))
    tempos = passage.tempos or (Tempo(0, float(rng.integers(80, 150))),)
    tempos = tuple(
        Tempo(t.onset_ticks, float(round(min(max(t.quarters_per_minute * factor, 40), 240)))) for t in tempos
    )
    record |= {
        "style": style,
        "rhythm": way,
        "lead": lead_from,
        "bass": bass_way,
        "tempo_factor": round(factor, 3),
        "drums": drum_record,
    }
    return record, replace(passage, tracks=tuple(tracks), tempos=tempos, markers=(), length_ticks=end)


def _passage(score: Score, rng: np.random.Generator) -> tuple[Score | None, dict[str, Any]]:
    """Up to 64 bars of ``score`` on the grid, transposed."""
    n_bars = len(bar_table(score))
    if n_bars < MIN_BARS:
        return None, {}
    wanted = int(rng.choice([16, 24, 32, 48, MAX_BARS]))
    first = 0 if n_bars <= wanted else int(rng.integers(0, n_bars - wanted + 1)) // 4 * 4
    stop = min(first + wanted, n_bars)
    passage = select_bars(first, stop)(score)
    passage = rescale(GRID, exact=False)(passage)
    semitones = int(rng.integers(-5, 7))
    passage = transpose(semitones, "drop")(passage)
    if not any(len(t) for t in passage.tracks if not t.is_drums):
        return None, {}
    return passage, {"bars": [first, stop], "semitones": semitones}


def _without_graces(notes: NoteArray) -> NoteArray:
    return notes[(notes["techniques"] & np.uint64(int(Technique.GRACE))) == 0]


def _track(name: str, program: int, kind: str, notes: NoteArray, limits: tuple[int, int], centre: int) -> Track:
    """A track of ``notes`` moved by octaves into ``limits`` (the whole line first, towards ``centre``)."""
    notes = notes.copy()
    pitch = notes["pitch"].astype(np.int64)
    if len(pitch) and centre:
        pitch += 12 * round((centre - float(np.median(pitch))) / 12)
    pitch = np.where(pitch < limits[0], pitch + 12 * -((pitch - limits[0]) // 12), pitch)
    pitch = np.where(pitch > limits[1], pitch - 12 * ((pitch - limits[1] + 11) // 12), pitch)
    notes["pitch"] = pitch
    notes["voice"], notes["spelling"], notes["string"], notes["fret"] = 0, NO_SPELLING, 0, NO_FRET
    return Track(name=name, program=program, tuning=STANDARD_TUNINGS[kind], notes=_no_overlap(notes))


def _no_overlap(notes: NoteArray) -> NoteArray:
    """Of equal notes one; a note ends where the same pitch starts again."""
    notes = notes[np.lexsort([-notes["duration_ticks"], notes["onset_ticks"], notes["pitch"]])]
    same = notes["pitch"][1:] == notes["pitch"][:-1]
    gap = np.diff(notes["onset_ticks"])
    notes = notes[np.append(True, ~(same & (gap == 0)))] if len(notes) else notes
    same = notes["pitch"][1:] == notes["pitch"][:-1]
    gap = np.diff(notes["onset_ticks"])
    notes["duration_ticks"][:-1] = np.where(
        same, np.minimum(notes["duration_ticks"][:-1], gap), notes["duration_ticks"][:-1]
    )
    return notes


def _line(notes: NoteArray, highest: bool) -> NoteArray:
    """One note per onset, the highest (or lowest), cut where the next begins."""
    sign = -1 if highest else 1
    notes = notes[np.lexsort([sign * notes["pitch"].astype(np.int64), notes["onset_ticks"]])]
    notes = notes[np.diff(notes["onset_ticks"], prepend=-1) > 0]
    gap = np.diff(notes["onset_ticks"], append=1 << 40)
    notes["duration_ticks"] = np.minimum(notes["duration_ticks"], gap)
    return notes


def _lead(voices: list[NoteArray], everything: NoteArray, end: int) -> tuple[NoteArray, str]:
    """The melody: the highest single-voiced part that sounds for 40 % of the time, else the top of everything."""
    best, best_pitch = None, -1.0
    for voice in voices:
        line = _line(voice, highest=True)
        single = len(line) >= 0.9 * len(voice)
        if single and line["duration_ticks"].sum() >= 0.4 * end and float(np.median(line["pitch"])) > best_pitch:
            best, best_pitch = line, float(np.median(line["pitch"]))
    return (best, "voice") if best is not None else (_line(everything, highest=True), "skyline")


# ── harmony ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Chord:
    start: int
    stop: int
    root: int  # pitch class
    third: int  # 3, 4, or 0 where none sounds
    lowest: int  # lowest sounding pitch
    accents: tuple[int, ...]  # bar starts within


def _chords(notes: NoteArray, table: BarTable, step: int) -> list[_Chord]:
    """The harmony, segment by segment of ``step`` ticks within bars; equal neighbours in a bar are joined.

    Root: the pitch class whose triad gathers most sounding time, the bass counting half more.
    """
    chords: list[_Chord] = []
    notes = notes[np.argsort(notes["onset_ticks"], kind="stable")]
    onsets = notes["onset_ticks"]
    reach = int(notes["duration_ticks"].max(initial=0))
    for bar_start, bar_stop in zip(table.starts_ticks.tolist(), table.ends_ticks.tolist(), strict=True):
        low, high = np.searchsorted(onsets, [bar_start - reach, bar_stop])
        onset, pitches = onsets[low:high], notes["pitch"][low:high]
        stop = onset + notes["duration_ticks"][low:high]
        for start in range(bar_start, bar_stop, step):
            end = min(start + step, bar_stop)
            sounding = np.minimum(stop, end) - np.maximum(onset, start)
            mask = sounding > 0
            if not mask.any():
                continue
            pitch, weight = pitches[mask].astype(np.int64), sounding[mask].astype(np.float64)
            by_class = np.bincount(pitch % 12, weights=weight, minlength=12)
            lowest = int(pitch.min())
            by_class[lowest % 12] += 0.5 * float(weight[pitch == lowest].sum())
            twice = np.concatenate([by_class, by_class])
            minor, major = twice[3:15], twice[4:16]
            gathered = 1.2 * by_class + twice[7:19] + np.maximum(minor, major)
            root = int(np.argmax(gathered))
            third = 0 if max(minor[root], major[root]) == 0 else 4 if major[root] >= minor[root] else 3
            last = chords[-1] if chords else None
            if last and last.stop == start > bar_start and (last.root, last.third) == (root, third):
                chords[-1] = replace(last, stop=end, lowest=min(last.lowest, lowest))
            else:
                chords.append(_Chord(start, end, root, third, lowest, (bar_start,)))
    return chords


def _rows(rows: list[tuple[int, int, int, int, int]]) -> NoteArray:
    """Notes of (onset, duration, pitch, velocity, techniques)."""
    notes = np.zeros(len(rows), NOTE_DTYPE)
    if rows:
        columns = np.array(rows, np.int64).T
        for name, column in zip(
            ("onset_ticks", "duration_ticks", "pitch", "velocity", "techniques"), columns, strict=True
        ):
            notes[name] = column
    notes["fret"], notes["spelling"] = NO_FRET, NO_SPELLING
    return notes


def _rhythm(
    way: str, voices: list[NoteArray], everything: NoteArray, chords: list[_Chord], rng: np.random.Generator
) -> NoteArray:
    if way == "voices":
        return _inner(voices, everything)
    mute = int(Technique.PALM_MUTE)
    accent_every = int(rng.choice([2, 3, 4]))
    down_up = rng.random() < 0.5
    rows: list[tuple[int, int, int, int, int]] = []
    for chord in chords:
        root = CHORD_BODY[0] + (chord.root - CHORD_BODY[0]) % 12
        power = [root, root + 7, root + 12] if root < 47 else [root, root + 7]
        third = [root + 12 + chord.third] if chord.third else []
        full = [root, root + 7, root + 12, *third]
        length = chord.stop - chord.start
        if way == "power_sustain":
            rows += [(chord.start, length, p, 100, 0) for p in power]
        elif way == "power_eighths":
            for at in range(chord.start, chord.stop, EIGHTH):
                rows += [(at, min(EIGHTH, chord.stop - at), p, 100 if at == chord.start else 88, 0) for p in power]
        elif way == "power_rhythm":  # a dotted quarter and an eighth
            for at in range(chord.start, chord.stop, 2 * GRID):
                for offset, size in ((0, 36), (36, 12)):
                    if at + offset < chord.stop:
                        size = min(size, chord.stop - at - offset)
                        rows += [(at + offset, size, p, 100 - offset // 3, 0) for p in power]
        elif way in ("chug", "gallop"):
            steps = (EIGHTH,) if way == "chug" else (EIGHTH, SIXTEENTH, SIXTEENTH)
            at, count = chord.start, 0
            while at < chord.stop:
                size = min(steps[count % len(steps)], chord.stop - at)
                opened = at == chord.start or (way == "chug" and accent_every < 4 and count % (accent_every * 2) == 3)
                rows += [
                    (at, size, p, 104 if opened else 84, 0 if opened else mute) for p in (power if opened else [root])
                ]
                at, count = at + size, count + 1
        elif way == "strum":
            at, count = chord.start, 0
            while at < chord.stop:
                size = min(EIGHTH if down_up and count % 4 in (1, 2) else GRID, chord.stop - at)
                rows += [(at, size, p, 96 if count == 0 else 80, 0) for p in full]
                at, count = at + size, count + 1
        elif way == "comp":  # short chords on the off-beats
            for at in range(chord.start + EIGHTH, chord.stop, GRID):
                rows += [(at, SIXTEENTH, p, 84, 0) for p in full[1:]]
        elif way == "arpeggio":
            tones = [*full, full[2], full[1]] if third else [root, root + 7, root + 12, root + 7]
            for count, at in enumerate(range(chord.start, chord.stop, EIGHTH)):
                ring = min(2 * EIGHTH, chord.stop - at)
                rows.append((at, ring, tones[count % len(tones)], 84, int(Technique.LET_RING)))
    return _rows(rows)


def _inner(voices: list[NoteArray], everything: NoteArray) -> NoteArray:
    """What is neither the top nor the bottom, at most three notes an onset; of two voices, the lower one's notes."""
    if len(voices) >= 4:
        ordered = sorted(voices, key=lambda v: float(np.median(v["pitch"])))
        notes = np.concatenate(ordered[1:-1])
    else:
        order = np.lexsort([everything["pitch"], everything["onset_ticks"]])
        notes = everything[order]
        top = np.append(np.diff(notes["onset_ticks"]) > 0, True)
        notes = notes[~top] if (~top).sum() >= 8 else notes
    notes = notes[np.lexsort([-notes["pitch"].astype(np.int64), notes["onset_ticks"]])]
    first = np.flatnonzero(np.diff(notes["onset_ticks"], prepend=-1) > 0)
    rank = np.arange(len(notes)) - np.repeat(first, np.diff(np.append(first, len(notes))))
    notes = notes[rank < 3].copy()
    notes["velocity"] = np.clip(notes["velocity"], 60, 110)
    notes["techniques"] = 0
    shift = 12 * round((57 - float(np.median(notes["pitch"]))) / 12) if len(notes) else 0
    notes["pitch"] = np.clip(notes["pitch"].astype(np.int64) + shift, 0, 127)
    return notes


def _bass(
    voices: list[NoteArray], everything: NoteArray, chords: list[_Chord], table: BarTable, rng: np.random.Generator
) -> tuple[NoteArray, str]:
    way = str(rng.choice(["line", "eighths", "roots"] if len(voices) >= 3 else ["eighths", "lowest", "roots"]))
    if way == "line":
        lowest = min(voices, key=lambda v: float(np.median(v["pitch"])))
        line = _line(lowest, highest=False)
        line["velocity"], line["techniques"] = np.clip(line["velocity"], 80, 115), 0
        return line, way
    rows = []
    for chord in chords:
        pitch = chord.lowest if way == "lowest" else 36 + chord.root
        while pitch > 50:
            pitch -= 12
        step = EIGHTH if way == "eighths" else chord.stop - chord.start
        for at in range(chord.start, chord.stop, step):
            rows.append((at, min(step, chord.stop - at), pitch, 100 if at == chord.start else 90, 0))
    return _rows(rows), way


# ── drums ────────────────────────────────────────────────────────────────────────────────────────────────


def _drums(kit: Sequence[Groove], table: BarTable, rng: np.random.Generator) -> tuple[NoteArray, dict[str, Any]]:
    """A groove over all bars of ``table``; where bars and groove bars differ in length it is cut on bar lines."""
    lengths = (table.ends_ticks - table.starts_ticks).tolist()
    metres = [(m.numerator, m.denominator) for m in table.metres]
    metre = max(sorted(set(metres)), key=metres.count)
    family = _family(metre)
    fitting = [g for g in kit if not g.is_fill and g.n_bars >= 2 and g.metre == family]
    if len(fitting) < 2 and family != (4, 4):
        fitting += [g for g in kit if not g.is_fill and g.n_bars >= 2 and g.metre == (4, 4)]
    groove = fitting[int(rng.integers(len(fitting)))]
    bar = groove.bar_ticks
    loop_bars = min(int(rng.choice([1, 2, 4, 8], p=[0.15, 0.35, 0.35, 0.15])), groove.n_bars)
    first = int(rng.integers(0, groove.n_bars - loop_bars + 1))
    loop = groove.hits[(groove.hits[:, 0] >= first * bar) & (groove.hits[:, 0] < (first + loop_bars) * bar)].copy()
    if len(loop) < 3 * loop_bars:  # a pause in the performance: take it from its start
        first = 0
        loop = groove.hits[groove.hits[:, 0] < loop_bars * bar].copy()
    loop[:, 0] -= first * bar
    fills = [g for g in kit if g.is_fill and g.metre == groove.metre]
    fill_every = int(rng.choice([0, 4, 8, 16]))
    rows: list[tuple[int, int, int, int, int]] = []
    at = 0  # place in the loop
    for index, (start, length) in enumerate(zip(table.starts_ticks.tolist(), lengths, strict=True)):
        nominal = GRID * 4 * metres[index][0] // metres[index][1]
        if index == 0 and length < nominal:
            at = -length % bar  # an upbeat: the end of a bar of the groove
        elif nominal % bar == 0:
            at = -(-at // bar) * bar
        tape, total = loop, loop_bars * bar
        if fills and fill_every and length == bar and (index + 1) % fill_every == 0 and index:
            fill = fills[int(rng.integers(len(fills)))]
            tape, total = fill.hits[fill.hits[:, 0] < bar], bar
        done = 0
        position = at % total
        while done < length:
            take = min(length - done, total - position)
            hits = tape[(tape[:, 0] >= position) & (tape[:, 0] < position + take)]
            for tick, key, velocity in hits.tolist():
                rows.append((start + done + tick - position, SIXTEENTH, key, velocity, 0))
            done += take
            position = (position + take) % total
        at += length
        if bar % nominal and nominal % bar:
            at = -(-at // bar) * bar
    notes = _rows(rows)
    record = {"path": groove.path, "bars": [first, first + loop_bars], "metre": f"{groove.metre[0]}/{groove.metre[1]}"}
    return _no_overlap(notes), record


def _family(metre: tuple[int, int]) -> tuple[int, int]:
    """The metre under whose grooves a metre can be played."""
    if metre in {(3, 4), (3, 2), (6, 4), (9, 4)}:
        return (3, 4)
    if metre[1] == 8 and metre[0] % 3 == 0:
        return (6, 8)
    return metre if metre in {(5, 4), (5, 8)} else (4, 4)
