"""Score → a told piece.

First as the original does: every track's beats as they are written, voices and like instruments on one line, a rest
only where nothing else of the instrument begins or sounds, a second note on a string left out. On that line a note
lasts until the instrument's next beat. So the line is read back and arranged once more in one voice: where its times
are one note value each (nearly always) nothing changes; elsewhere notes are tied, and times that no note values meet
moved.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import pairwise
from math import gcd

from cadenza.notation.dadagp import effects
from cadenza.notation.dadagp.piece import Said, SaidBar, SaidBeat, SaidPiece, close, groups
from cadenza.notation.dadagp.reading import TOKEN_OF_DIRECTION, score_of
from cadenza.notation.dadagp.tables import (
    DROPPED,
    FAMILY_OF_PROGRAM,
    MAX_OF_A_FAMILY,
    NUMBERED,
    QUARTER_TICKS,
    instrument,
    round_tempo,
)
from cadenza.notation.dadagp.tunings import Neck, Tuning, neck_of
from cadenza.score.edit import (
    Edit,
    drop_controls,
    drop_field,
    drop_marks,
    drop_spelling,
    drop_velocity,
    map_column,
    project,
    rescale,
)
from cadenza.score.fingering import tuning_for
from cadenza.score.leading import play_dangling
from cadenza.score.model import Metre, Score, Tempo, Track
from cadenza.score.tab import effects as written
from cadenza.score.tab.fit import (
    GRID_TICKS,
    MAX_DENOMINATOR,
    MAX_NUMERATOR,
    arranged,
    bars_on_64ths,
    one_harmonic,
    playable,
    settled,
)
from cadenza.score.tab.page import Arranged, Beat, Page
from cadenza.score.time import bar_table
from cadenza.score.written import JUMPS, MARK_KINDS, TARGETS, Mark

UNTOLD = {"text", "chord", "ottava", "fingering"}
TOLD = {*written.BEAT_KINDS, *written.NOTE_KINDS, "overfull", "source"} - UNTOLD
ONE_LINE = Page(voices=1)
OLD = {"gp3", "gp4"}


# ── before beats ─────────────────────────────────────────────────────────────────────────────────────────


def _without_effects(score: Score) -> Score:
    kept = tuple(t for t in score.tracks if t.is_drums or FAMILY_OF_PROGRAM[t.program] != DROPPED)
    return score if len(kept) == len(score.tracks) else score.with_tracks(kept)


def _tens(score: Score) -> Score:
    """Tempos in tens; where two neighbours become one, the second is told at its beat all the same."""
    tempos: list[Tempo] = []
    told: list[Mark] = []
    given = score.tempos if score.tempos and score.tempos[0].onset_ticks == 0 else (Tempo(0, 120.0), *score.tempos)
    marked = {m.onset_ticks for t in score.tracks for m in t.marks if m.kind == "tempo"}
    for tempo in given:
        value = round_tempo(tempo.quarters_per_minute)
        if not tempos or tempos[-1].quarters_per_minute != value:
            if tempo.onset_ticks < max(score.length_ticks, 1):
                tempos.append(Tempo(tempo.onset_ticks, float(value)))
        elif tempo.onset_ticks not in marked:
            told.append(Mark(tempo.onset_ticks, "tempo", values=(value,)))
    tracks = []
    for index, track in enumerate(score.tracks):
        marks = [
            replace(m, values=(round_tempo(m.values[0]),)) if m.kind == "tempo" and m.values else m for m in track.marks
        ]
        tracks.append(replace(track, marks=(*marks, *(told if index == 0 else ()))))
    return replace(score, tempos=tuple(tempos), tracks=tuple(tracks))


def _whole_last_bar(score: Score) -> Score:
    """A last bar that holds more than its metre is as long as what it holds."""
    over = {mark.onset_ticks for track in score.tracks for mark in track.marks if mark.kind == "overfull"}
    table = bar_table(score)
    if not over or score.length_ticks == table.ends_ticks[-1]:
        return score
    starts = table.starts_ticks.tolist()
    beats = sorted({int(onset) for track in score.tracks for onset in track.beats["onset_ticks"]})
    count = len(starts)
    while count > 1 and set(beats[bisect_left(beats, starts[count - 1]) :]) <= over:
        count -= 1
    start = starts[count - 1]
    ends = [int((t.beats["onset_ticks"] + t.beats["duration_ticks"]).max(initial=0)) for t in score.tracks]
    units = -(-(max(*ends, score.length_ticks) - start) // GRID_TICKS)
    shared = gcd(units, MAX_DENOMINATOR)
    if count == len(starts) or units // shared > MAX_NUMERATOR:
        return score
    return replace(
        score,
        metres=(
            *(m for m in score.metres if m.onset_ticks < start),
            Metre(start, units // shared, MAX_DENOMINATOR // shared),
        ),
        bars=tuple(m for m in score.bars if m.onset_ticks <= start),
        length_ticks=start + units * GRID_TICKS,
    )


BEFORE_BEATS: tuple[Edit, ...] = (
    play_dangling(),
    Edit("re-times to 960 ticks a quarter, rounding", rescale(QUARTER_TICKS, exact=False).apply),
    drop_marks(kind for kind in MARK_KINDS if kind not in TOLD),
    Edit("leaves out sound effects (programs 120–127)", _without_effects),
    Edit("gives a last bar that holds more than its metre a metre of its own", _whole_last_bar),
    Edit("rounds tempos to tens", _tens),
    Edit(
        "moves bar lines to 64ths, gives short bars a metre of their own, fills the last bar, keeps endings 1–8 and up "
        "to 127 repeats, each direction (segno, coda, da capo) at its first bar, one place and one jump a bar",
        bars_on_64ths,
    ),
    drop_field("drops keys, section names and the title", keys=(), markers=(), title=""),
    drop_velocity(),
    map_column("keeps one kind of harmonic a note", "techniques", one_harmonic),
    drop_spelling(),
    drop_controls(),
    Edit(
        "plays every track but drums on up to seven strings: notes without a place get a playable one, and what no "
        "hand can play is left out; drum keys above 99 too. Harmonics sound an interval that can be told (the nearest)",
        playable,
    ),
)


# ── as told ──────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(slots=True)
class _Voice:
    """A track on the line of its instrument."""

    part: Arranged
    name: str
    neck: Neck | None


def told(fits: Score, misreads: bool) -> SaidPiece:
    """What the tokens of a score say.

    Args:
        fits: the score after :data:`BEFORE_BEATS`.
        misreads: tell the frets of tied notes, and what comes from Guitar Pro 3 and 4, as the original does.
    """
    artist = fits.composer or "unknown"
    parts = arranged(fits)
    first = _piece(settled(fits, parts), parts, artist, misreads)
    again = project(score_of(first), BEFORE_BEATS)
    parts = arranged(again, ONE_LINE)
    out = _piece(settled(again, parts), parts, artist, misreads)
    if misreads:
        for bar in out.bars:
            for line in bar.beats.values():
                _misread_ties(line)
    return out


def _misread_ties(line: list[SaidBeat]) -> None:
    """Tied notes at the fret of the first note on their string in the bar; 0 where that is themselves."""
    frets: dict[int, int] = {}
    for beat in line:
        for note in beat.notes:
            if note.string and note.is_tied:
                note.fret = frets.get(note.string, 0)
            frets.setdefault(note.string, note.fret)


def _source(part: Arranged) -> str:
    """The old format that a track comes from."""
    return next((mark.text for mark in part.track.marks if mark.kind == "source"), "")


def _voices(parts: list[Arranged]) -> list[_Voice]:
    """The tracks that play something, each with its instrument."""
    out: list[_Voice] = []
    counts: dict[str, int] = {}
    lines: dict[tuple[str, Tuning | None], str] = {}
    for part in parts:
        if not part.beats:
            continue
        track = part.track
        family = "drums" if track.is_drums else FAMILY_OF_PROGRAM[track.program]
        neck = None if track.is_drums else neck_of(track, family == "bass")
        key = (family, neck.tuning if neck else None)
        if key in lines and family not in (*NUMBERED, "bass"):
            name = lines[key]
        else:
            number = counts.get(family, 0)
            if number >= MAX_OF_A_FAMILY:
                continue
            counts[family] = number + 1
            name = lines[key] = instrument(family, number)
        out.append(_Voice(part, name, neck))
    return out


def names_for(tracks: Iterable[Track]) -> list[tuple[str, Tuning | None]]:
    """An instrument of its own for each track of a piece that has yet to begin, and how it is told; those that have no
    name are left out."""
    out: list[tuple[str, Tuning | None]] = []
    counts: dict[str, int] = {}
    for track in tracks:
        family = "drums" if track.is_drums else FAMILY_OF_PROGRAM[track.program]
        number = counts.get(family, 0)
        if family == DROPPED or number >= (1 if track.is_drums else MAX_OF_A_FAMILY):
            continue
        counts[family] = number + 1
        tuned = track if track.tuning or track.is_drums else replace(track, tuning=tuning_for(track))
        out.append((instrument(family, number), None if track.is_drums else neck_of(tuned, family == "bass").tuning))
    return out


def _piece(score: Score, parts: list[Arranged], artist: str, misreads: bool) -> SaidPiece:
    sources = {_source(part) for part in parts} if misreads else set()
    taken = 0
    table = bar_table(score)
    bars = []
    for start, stop, mark in zip(table.starts_ticks.tolist(), table.ends_ticks.tolist(), table.marks, strict=True):
        bar = SaidBar(start, stop)
        if mark is not None:
            if mark.repeat_open:
                bar.marks.append("measure:repeat_open")
                taken = 0
            if mark.endings:
                bits = sum(1 << (n - 1) for n in mark.endings)
                if sources & OLD:  # whose endings are those that no bar before them has since the repeat began
                    bits &= ~taken
                    taken |= bits
                if bits:
                    bar.marks.append(f"measure:repeat_alternative:{bits}")
            if mark.repeat_close:
                bar.marks.append(f"measure:repeat_close:{mark.repeat_close - 1}")
            for kind, family in (("direction", TARGETS), ("from_direction", JUMPS)):
                bar.marks += [f"measure:{kind}:{TOKEN_OF_DIRECTION[d]}" for d in mark.directions if d in family]
        bars.append(bar)
    voices = _voices(parts)
    for index, bar in enumerate(bars):
        lines: dict[str, list[SaidBeat]] = {}
        for voice in voices:
            for number in range(ONE_LINE.voices + 1):
                _tell(voice, voice.part.beats.get((index, number), []), lines.setdefault(voice.name, []), misreads)
        bar.beats = {name: sorted(line, key=lambda beat: beat.start) for name, line in lines.items() if line}
    close(bars, max((beat.end for line in bars[-1].beats.values() for beat in line), default=0))
    used = {name for bar in bars for name in bar.beats}
    necks = {voice.name: voice.neck.tuning if voice.neck else None for voice in reversed(voices)}
    names = [name for name in ordered(bars) if name in used]
    return SaidPiece(artist, int(score.tempos[0].quarters_per_minute), {name: necks[name] for name in names}, bars)


def _tell(voice: _Voice, beats: list[Beat], line: list[SaidBeat], misreads: bool) -> None:
    """Add a voice's beats of a bar to the line of its instrument."""
    track = voice.part.track
    misread = _source(voice.part) if misreads else ""
    for beat in beats:
        notes, rows = [], []
        for link in beat.links:
            item = link.item
            if voice.neck is None:
                string, fret, fretted = 0, item.fret, item.fret
            else:
                string, fret = voice.neck.told(item.string, item.fret)
                fretted = track.tuning[item.string - 1] + track.capo_fret + item.fret
            notes.append(Said(string, fret, effects.note_lines(link, fret, fretted, track.is_drums, misread)))
            rows.append((*link.marks.get("row", ()), string, fret))
        notes = [notes[index] for index in sorted(range(len(notes)), key=rows.__getitem__)]
        end = beat.start + int(beat.length.ticks)  # the last of an odd tuplet without the fractions of the others
        _insert(SaidBeat(beat.start, end, notes, effects.beat_lines(beat)), line)


def _insert(new: SaidBeat, line: list[SaidBeat]) -> None:
    """A beat joins the line of its instrument: its notes those that begin with it, its rest only where none sounds."""
    present = next((beat for beat in line if beat.start == new.start), None)
    if present is None:
        if not new.notes and any(beat.notes and beat.start < new.start < beat.end for beat in line):
            return
        present = SaidBeat(new.start, new.end)
        line.append(present)
    taken = {(note.string, note.fret if note.string == 0 else 0) for note in present.notes}
    struck = {note.fret for note in new.notes if note.string == 0 and not note.is_tied}
    for note in new.notes:
        place = (note.string, note.fret if note.string == 0 else 0)
        if place in taken or (note.string == 0 and note.is_tied and note.fret in struck):
            continue  # of a drum that sounds and is struck again the stroke is told
        taken.add(place)
        present.notes.append(note)
    present.end = max(present.end, new.end)
    kinds = {group[0].split(":")[1] for group in groups(present.effects)}
    for group in groups(new.effects):
        if group[0].split(":")[1] not in kinds:
            present.effects += group


def ordered(bars: list[SaidBar]) -> list[str]:
    """Instruments in an order that agrees with every time at which several begin; else as they appear."""
    seen: list[str] = []
    after: dict[str, set[str]] = {}
    for bar in bars:
        at: dict[int, list[str]] = {}
        for name, line in bar.beats.items():
            after.setdefault(name, set())
            for beat in line:
                at.setdefault(beat.start, []).append(name)
        for start in sorted(at):
            names = at[start]
            seen += [name for name in names if name not in seen]
            for before, later in pairwise(names):
                after[later].add(before)
    out: list[str] = []
    while seen:
        free = next((name for name in seen if after[name] <= set(out)), seen[0])
        out.append(free)
        seen.remove(free)
    return out
