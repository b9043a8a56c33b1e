"""Score → MIDI bytes: what is lost on the way (:data:`PROJECTION`), channels, and the order of events at a tick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError
from cadenza.formats import _smf
from cadenza.formats._wheel import EXACT_CENTS, WIDEST_CENTS, Lane, lanes, position_of, with_stepped_bends
from cadenza.score.edit import (
    Edit,
    drop_field,
    drop_frets,
    drop_spelling,
    drop_techniques,
    drop_track_field,
    drop_voices,
    drop_written,
    project,
)
from cadenza.score.model import BEND_DTYPE, Key, Marker, Metre, Score, Tempo, Track
from cadenza.score.whammy import play_tremolo_bar

MELODIC_CHANNELS = tuple(channel for channel in range(16) if channel != _smf.DRUM_CHANNEL)
MAX_TICKS_PER_QUARTER = 0x7FFF
MAX_NUMERATOR, MAX_DENOMINATOR = 255, 1 << 15
MAX_MICROSECONDS = (1 << 24) - 1
MAX_TRACKS = 0xFFFF - 1
BANK_CONTROLLERS = (0, 32)

# Events at one tick, in this order. The wheel's last jump of a note belongs to it, so it comes before the off.
LAST_JUMP, OFF, BANK, PROGRAM, RANGE, CONTROL, WHEEL, ON = range(8)


# ── what a file cannot hold ──────────────────────────────────────────────────────────────────────────────


def _microseconds(quarters_per_minute: float) -> int:
    return max(1, min(MAX_MICROSECONDS, round(60e6 / quarters_per_minute)))


def _round_tempos(score: Score) -> Score:
    tempos = [Tempo(t.onset_ticks, 60e6 / _microseconds(t.quarters_per_minute)) for t in score.tempos]
    return replace(score, tempos=tuple(tempos))


def _pair_drums(track: Track) -> Track:
    if not track.is_drums:
        return track
    notes = track.notes.copy()
    ends = notes["onset_ticks"] + notes["duration_ticks"]
    rows = np.argsort(notes["pitch"], kind="stable")
    notes["duration_ticks"][rows] = ends[np.lexsort([ends, notes["pitch"]])] - notes["onset_ticks"][rows]
    if not len(track.bends) and np.array_equal(notes, track.notes):
        return track
    return track.with_notes(notes, np.zeros(0, BEND_DTYPE))


def _step_bends(track: Track) -> Track:
    return track if track.is_drums else with_stepped_bends(track)


def _drop_parameters(track: Track) -> Track:
    kept = ~np.isin(track.controls["controller"], list(_smf.PARAMETER_CONTROLLERS))
    return track if kept.all() else replace(track, controls=track.controls[kept])


def _plain_texts(score: Score) -> Score:
    def plain(text: str) -> str:
        return text.encode("utf-8", "replace").decode("utf-8")

    def named(track: Track) -> Track:
        return track if plain(track.name) == track.name else replace(track, name=plain(track.name))

    return replace(
        score.map_tracks(named),
        title=plain(score.title),
        markers=tuple(dict.fromkeys(replace(marker, text=plain(marker.text)) for marker in score.markers)),
    )


def _reach(score: Score) -> Score:
    maps: tuple[Tempo | Metre | Key | Marker, ...] = (*score.tempos, *score.metres, *score.keys, *score.markers)
    last = [int(track.controls["onset_ticks"].max(initial=0)) for track in score.tracks]
    last += [entry.onset_ticks for entry in maps]
    return replace(score, length_ticks=max(score.length_ticks, *last, 0))


PROJECTION: tuple[Edit, ...] = (
    play_tremolo_bar(),
    drop_frets(),
    drop_track_field("drops tunings and capos", tuning=(), capo_fret=0),
    drop_techniques(),
    drop_voices(),
    drop_spelling(),
    drop_written(),
    drop_field("drops bar marks (repeats, endings, directions, short bars; unfold the repeats first)", bars=()),
    drop_field("drops the composer", composer=""),
    Edit("rounds tempos to whole microseconds a quarter (at most 16.8 seconds)", _round_tempos),
    Edit(
        "pairs overlapping strokes of one drum first-in-first-out and drops bends of drums",
        lambda score: score.map_tracks(_pair_drums),
    ),
    Edit(
        "writes bends as wheel jumps in whole cents, true at every tick",
        lambda score: score.map_tracks(_step_bends),
    ),
    Edit(
        "drops parameter numbers and data entry (controllers 6, 38, 96–101)",
        lambda score: score.map_tracks(_drop_parameters),
    ),
    Edit("merges equal markers and replaces unpaired surrogates in texts by ?", _plain_texts),
    Edit("lengthens to the last controller or map entry", _reach),
)


# ── bytes ────────────────────────────────────────────────────────────────────────────────────────────────


def encode(score: Score) -> bytes:
    """The score as a MIDI file of format 1, after :data:`PROJECTION`.

    Raises:
        FormatError: more than 32,767 ticks a quarter, a metre beyond 255/32,768, bends beyond 12,799 cents, or a
            track whose simultaneous bends need more than 15 channels.
    """
    if score.ticks_per_quarter > MAX_TICKS_PER_QUARTER:
        raise FormatError(
            f"at most {MAX_TICKS_PER_QUARTER:,} ticks a quarter", f"{score.ticks_per_quarter:,}", hint="Rescale first."
        )
    if len(score.tracks) > MAX_TRACKS:
        raise FormatError(f"at most {MAX_TRACKS:,} tracks", f"{len(score.tracks):,}")
    score = project(score, PROJECTION)
    laid = [lanes(track, 1 if track.is_drums else len(MELODIC_CHANNELS)) for track in score.tracks]
    channels = channels_for(
        [(track.is_drums, track.program, len(on)) for track, on in zip(score.tracks, laid, strict=True)]
    )
    header = b"".join(number.to_bytes(2, "big") for number in (1, 1 + len(score.tracks), score.ticks_per_quarter))
    chunks = [_smf.chunk_bytes(b"MThd", header), _smf.chunk_bytes(b"MTrk", _conductor(score))]
    for track, on, own in zip(score.tracks, laid, channels, strict=True):
        chunks.append(_smf.chunk_bytes(b"MTrk", _track(track, on, own)))
    return b"".join(chunks)


def channels_for(needs: Sequence[tuple[bool, int, int]]) -> list[list[int]]:
    """Channels of each track from its (is_drums, program, number of channels needed).

    Every track gets a base channel before any gets a further one. Where there are more tracks than channels,
    tracks of one program share, then whoever has the fewest neighbours.
    """
    use = dict.fromkeys(MELODIC_CHANNELS, 0)
    programs: dict[int, Counter[int]] = {}
    out: list[list[int]] = []
    for is_drums, program, _ in needs:
        if is_drums:
            out.append([_smf.DRUM_CHANNEL])
            continue
        same = programs.setdefault(program, Counter())
        best = min(use, key=lambda channel: (use[channel] > 0, not same[channel], use[channel]))
        use[best] += 1
        same[best] += 1
        out.append([best])
    for own, (_, _, count) in zip(out, needs, strict=True):
        while len(own) < count:
            best = min((channel for channel in use if channel not in own), key=use.__getitem__)
            use[best] += 1
            own.append(best)
    return out


def _conductor(score: Score) -> bytes:
    rows: list[tuple[int, bytes]] = []
    for tempo in score.tempos:
        microseconds = _microseconds(tempo.quarters_per_minute)
        rows.append((tempo.onset_ticks, _smf.meta(_smf.META_TEMPO, microseconds.to_bytes(3, "big"))))
    for metre in score.metres:
        if metre.numerator > MAX_NUMERATOR or metre.denominator > MAX_DENOMINATOR:
            raise FormatError(
                f"a metre within {MAX_NUMERATOR}/{MAX_DENOMINATOR:,}",
                f"{metre.numerator}/{metre.denominator}",
                where=f"tick {metre.onset_ticks}",
            )
        # A click a quarter, eight thirty-seconds in it: what everyone writes.
        payload = bytes([metre.numerator, metre.denominator.bit_length() - 1, 24, 8])
        rows.append((metre.onset_ticks, _smf.meta(_smf.META_METRE, payload)))
    for key in score.keys:
        payload = bytes([key.fifths & 0xFF, key.mode == "minor"])
        rows.append((key.onset_ticks, _smf.meta(_smf.META_KEY, payload)))
    for marker in score.markers:
        rows.append((marker.onset_ticks, _smf.meta(_smf.TEXT_MARKER, marker.text.encode("utf-8"))))
    rows.sort(key=lambda row: row[0])
    rows.append((score.length_ticks, _smf.meta(_smf.META_END, b"")))
    out, now = [_named(score.title)], 0
    for tick, event in rows:
        while tick - now > _smf.MAX_DELTA:
            out.append(_smf.quantity(_smf.MAX_DELTA) + _smf.EMPTY_TEXT)
            now += _smf.MAX_DELTA
        out.append(_smf.quantity(tick - now) + event)
        now = tick
    return b"".join(out)


def _named(name: str) -> bytes:
    return b"\x00" + _smf.meta(_smf.TEXT_NAME, name.encode("utf-8")) if name else b""


def _track(track: Track, on: list[Lane], channels: list[int]) -> bytes:
    """The MTrk of ``track``, its notes on ``channels`` as ``on`` says."""
    channel_of = np.full(len(track), channels[0], np.int64)
    for lane, channel in zip(on, channels, strict=True):
        channel_of[lane.rows] = channel
    parts = [
        _control_rows(track, channels),
        _note_rows(track, channel_of),
        _rows(0, PROGRAM, np.arange(len(channels)), 0xC0 | np.array(channels), track.program, 0, size=2),
    ]
    for lane, channel in zip(on, channels, strict=True):
        if lane.peak:
            parts += _wheel_rows(track, lane, channel)
    rows = np.concatenate(parts)
    rows = rows[np.lexsort([rows["sequence"], rows["order"], rows["tick"]])]
    events = np.zeros(len(rows), _smf.EVENT_DTYPE)
    for name in ("tick", "status", "data", "size"):
        events[name] = rows[name]
    return _named(track.name) + _smf.events_bytes(events, int(rows["tick"][-1]))


_ROW_DTYPE = np.dtype([*_smf.EVENT_DTYPE.descr[:1], ("order", "i2"), ("sequence", "i8"), *_smf.EVENT_DTYPE.descr[1:]])


def _rows(tick, order, sequence, status, first, second, size=3):  # type: ignore[no-untyped-def]
    """Events from columns, each a number or shape (n,)."""
    rows = np.zeros(np.broadcast(tick, order, sequence, status, first, second).shape, _ROW_DTYPE)
    rows["tick"], rows["order"], rows["sequence"], rows["status"], rows["size"] = tick, order, sequence, status, size
    rows["data"][..., 0], rows["data"][..., 1] = first, second
    return np.atleast_1d(rows)


def _control_rows(track: Track, channels: list[int]) -> NDArray[np.void]:
    """Each controller on each channel; at tick 0 all up to the last bank number precede the program."""
    controls = track.controls
    index = np.arange(len(controls))
    banks = np.flatnonzero((controls["onset_ticks"] == 0) & np.isin(controls["controller"], BANK_CONTROLLERS))
    order = np.where(index <= (banks[-1] if len(banks) else -1), BANK, CONTROL)
    return np.concatenate(
        [
            _rows(
                controls["onset_ticks"],
                order,
                index * 16 + place,
                0xB0 | channel,
                controls["controller"],
                controls["value"],
            )
            for place, channel in enumerate(channels)
        ]
    )


def _note_rows(track: Track, channel_of: NDArray[np.int64]) -> NDArray[np.void]:
    """Note-ons and note-offs; of a note without duration the off directly follows the on."""
    notes = track.notes
    index = np.arange(len(notes))
    ons = _rows(notes["onset_ticks"], ON, 2 * index, 0x90 | channel_of, notes["pitch"], notes["velocity"])
    order = np.where(notes["duration_ticks"] > 0, OFF, ON)
    ends = notes["onset_ticks"] + notes["duration_ticks"]
    offs = _rows(ends, order, 2 * index + 1, 0x80 | channel_of, notes["pitch"], 64)
    return np.concatenate([ons, offs])


def _wheel_rows(track: Track, lane: Lane, channel: int) -> list[NDArray[np.void]]:
    """The wheel's range at the start, then its positions wherever they change."""
    semitones = max(2, -(-lane.peak // 100))
    # The wheel stops one step short of its upper end; from 41 semitones on that step is more than half a cent.
    range_cents = WIDEST_CENTS if lane.peak > EXACT_CENTS else 100 * (semitones + (semitones > 40))
    parameter = [(101, 0), (100, 0), (6, range_cents // 100), (38, range_cents % 100), (101, 127), (100, 127)]
    numbers, values = np.array(parameter).T
    setting = _rows(0, RANGE, np.arange(6) + 6 * channel, 0xB0 | channel, numbers, values)

    onsets = np.sort(track.notes["onset_ticks"][lane.rows])
    ends = np.sort((track.notes["onset_ticks"] + track.notes["duration_ticks"])[lane.rows])

    def sounding(tick: int) -> bool:  # from before the tick to after it
        return bool(np.searchsorted(onsets, tick, "left") > np.searchsorted(ends, tick, "right"))

    needed = [(tick, WHEEL, cents) for tick, cents in zip(lane.ticks, lane.cents, strict=True)]
    for tick, cents in lane.finals.items():
        if cents != lane.value_at(tick - 1):
            needed.append((tick, LAST_JUMP, cents))
            if sounding(tick):
                needed.append((tick, WHEEL, lane.value_at(tick)))
    resets = track.controls["onset_ticks"][track.controls["controller"] == _smf.RESET_CONTROLLERS]
    for tick in np.unique(resets).tolist():
        needed.append((tick, CONTROL, 0))  # which the controller itself does
        if sounding(tick):
            needed.append((tick, WHEEL, lane.value_at(tick)))
    needed.sort(key=lambda row: row[:2])
    now, events = 0, []
    for tick, order, cents in needed:
        if cents != now and order != CONTROL:
            position = position_of(cents, range_cents) + _smf.WHEEL_STEPS
            events.append((tick, order, position & 127, position >> 7))
        now = cents
    ticks, orders, low, high = np.array(events, np.int64).reshape(-1, 4).T
    return [setting, _rows(ticks, orders, np.arange(len(ticks)), 0xE0 | channel, low, high)]
