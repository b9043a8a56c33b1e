"""MIDI files (.mid, .midi) ↔ Score.

**Reading.** Each MTrk becomes a Track for every (program, drums) that plays in it; in format 0 for every
(channel, program). Channel 10 is drums. Note-offs are paired first-in-first-out per channel and pitch within
the MTrk; a note that is never closed ends with it. Several channels with one program in one MTrk are one
Track: that is how notes with bends of their own share an instrument. An MTrk with a program change and no
notes is an empty Track. Tempo, metre, key and marker events of all MTrks go to the maps (the later MTrk wins;
events without a meaning, such as a metre of 0/4, are passed over). The title is the name of a first MTrk
without channel events in format 1. Aftertouch, release velocity, lyrics and system exclusive have no place in
a Score and are not read.

**Bends.** The wheel, through its range (registered parameter 0, ±2 semitones unless said), becomes points of
each note in whole cents. The wheel jumps, so a change from a to b at ``t`` after the onset is the point
(t−1, a), unless the curve has a point there, and the point (t, b). Drums do not bend.

**Writing.** Format 1: a conductor MTrk, then one MTrk per Track, on as many channels as its bends and nested
equal pitches need. What a file cannot hold is declared in :data:`PROJECTION`; the law
``decode(encode(s)) == project(s, PROJECTION)`` holds for every Score that is not refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.files import write_atomically
from cadenza.base.limits import DEFAULT_LIMITS, Limits, read_bytes
from cadenza.formats import _compiled_smf, _smf
from cadenza.formats._midi_write import PROJECTION, encode
from cadenza.formats._wheel import stepped_points
from cadenza.score.model import (
    BEND_DTYPE,
    CONTROL_DTYPE,
    NO_FRET,
    NO_SPELLING,
    NOTE_DTYPE,
    Key,
    Marker,
    Metre,
    Score,
    Tempo,
    Track,
)
from cadenza.score.time import bar_table, bar_ticks

__all__ = ["PROJECTION", "decode", "encode", "read", "read_quickly", "write"]

MAX_DENOMINATOR_POWER = 15


def read(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Score:
    """The score in a MIDI file.

    Raises:
        FormatError: it is missing or no sound Standard MIDI File of format 0 or 1 in musical time.
        LimitError: it passes ``limits``.
    """
    return decode(read_bytes(path, limits), limits)


def write(score: Score, path: Path | str) -> None:
    """Write the score as a MIDI file; what it cannot hold is in :data:`PROJECTION`.

    Raises:
        FormatError: see :func:`encode`; or the disk refuses.
    """
    write_atomically(path, encode(score))


def decode(data: bytes, limits: Limits = DEFAULT_LIMITS, read_chunk: _smf.ReadChunk = _smf.parse_chunk) -> Score:
    """The score in the bytes of a MIDI file.

    Args:
        read_chunk: the compiled twin of the plain reader, or that.

    Raises:
        FormatError: they are no sound Standard MIDI File of format 0 or 1 in musical time.
        LimitError: they pass ``limits``.
    """
    kind, ticks_per_quarter, chunks = _smf.parse(data, limits, read_chunk)
    tracks: list[Track] = []
    n_points = 0
    for index, chunk in enumerate(chunks):
        found = _tracks(chunk, by_channel=kind == 0, max_points=limits.bend_points - n_points, limits=limits)
        n_points += sum(len(track.bends) for track in found)
        tracks += found
        limits.check("tracks", len(tracks), f"track {index}")
    return _score(kind, ticks_per_quarter, chunks, tracks, limits)


def read_quickly(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Score:
    """The same as :func:`read`, for many files: by a compiled loop where numba is installed (extra [corpus]).

    Raises:
        FormatError, LimitError: as :func:`read`.
    """
    return decode(read_bytes(path, limits), limits, _compiled_smf.parse_chunk)


def _score(
    kind: int, ticks_per_quarter: int, chunks: Sequence[_smf.Chunk], tracks: list[Track], limits: Limits
) -> Score:
    """The tracks with the maps of all chunks.

    Raises:
        LimitError: there are more bars than ``limits`` allow.
    """
    conductor = chunks[0] if kind == 1 and chunks and not chunks[0].channels else None
    maps = _maps(chunks)
    score = Score(
        tracks=tuple(tracks),
        ticks_per_quarter=ticks_per_quarter,
        title=_smf.text(conductor.name or b"") if conductor else "",
        length_ticks=max((chunk.end_ticks for chunk in chunks), default=0),
        **maps,
    )
    shortest = min((bar_ticks(metre, ticks_per_quarter) for metre in score.metres), default=4 * ticks_per_quarter)
    if score.length_ticks // min(shortest, 4 * ticks_per_quarter) + len(score.metres) >= limits.bars:
        bar_table(score, max_bars=limits.bars)
    return score


def _maps(chunks: Sequence[_smf.Chunk]) -> dict[str, Any]:
    """The maps of all chunks, as fields of a Score."""
    tempos: dict[int, int] = {}
    metres: dict[int, tuple[int, int]] = {}
    keys: dict[int, tuple[int, bool]] = {}
    markers: set[tuple[int, str]] = set()
    for chunk in chunks:
        for kind, tick, payload in chunk.metas:
            if kind == _smf.TEXT_MARKER:
                markers.add((tick, _smf.text(payload)))
            elif kind == _smf.META_TEMPO:
                microseconds = int.from_bytes(payload[:3], "big")
                if len(payload) >= 3 and microseconds:
                    tempos[tick] = microseconds
            elif kind == _smf.META_METRE:
                if len(payload) >= 2 and payload[0] and payload[1] <= MAX_DENOMINATOR_POWER:
                    metres[tick] = (payload[0], 1 << payload[1])
            elif len(payload) >= 2 and payload[1] <= 1:
                fifths = payload[0] - 256 if payload[0] > 127 else payload[0]
                if -7 <= fifths <= 7:
                    keys[tick] = (fifths, payload[1] == 1)
    return {
        "tempos": tuple(Tempo(tick, 60e6 / microseconds) for tick, microseconds in tempos.items()),
        "metres": tuple(Metre(tick, *metre) for tick, metre in metres.items()),
        "keys": tuple(Key(tick, fifths, "minor" if minor else "major") for tick, (fifths, minor) in keys.items()),
        "markers": tuple(Marker(tick, text) for tick, text in sorted(markers)),
    }


def _tracks(chunk: _smf.Chunk, by_channel: bool, max_points: int, limits: Limits) -> list[Track]:
    """The tracks of one MTrk."""
    if not chunk.n_notes and not chunk.programs:
        return []
    name = _smf.text(chunk.name or b"")

    places = np.frombuffer(chunk.places, np.int16)
    if _is_lone(chunk, places) if chunk.lone is None else chunk.lone:
        place = int(places[0])
        is_drums = place & 15 == _smf.DRUM_CHANNEL
        limits.check("tracks", 1)
        return [Track.known(_notes(chunk), _controls(chunk), name, place >> 4, is_drums, in_order=chunk.in_order)]
    note_groups = _group_of(places, by_channel)
    groups = _distinct(note_groups) or _group_of(np.array(list(chunk.programs)[:1], np.int16), by_channel).tolist()
    limits.check("tracks", len(groups))
    row_groups = _control_groups(chunk, groups, note_groups, by_channel)
    controls, every = _controls(chunk), _notes(chunk)
    tracks = []
    for group in groups:
        rows = np.flatnonzero(note_groups == group)
        is_drums = (group & 15) == _smf.DRUM_CHANNEL
        notes = every[rows]
        bends = np.zeros(0, BEND_DTYPE)
        if not is_drums and len(chunk.wheel_ticks):
            bends = _bends(chunk, every["onset_ticks"], rows, max_points, limits)
            max_points -= len(bends)
        mine = row_groups == group
        tracks.append(
            Track(
                name=name,
                program=group >> 4,
                is_drums=is_drums,
                notes=notes,
                bends=bends,
                controls=_merged(controls[mine], np.frombuffer(chunk.control_places, np.int16)[mine] & 15, chunk),
            )
        )
    return tracks


def _is_lone(chunk: _smf.Chunk, places: NDArray[np.int16]) -> bool:
    """See ``Chunk.lone``; with controllers of one channel none only repeats what another channel was told."""
    if not chunk.n_notes or len(chunk.wheel_ticks) or not (places == places[0]).all():
        return False
    return len({place & 15 for place in set(chunk.control_places)}) < 2


def _notes(chunk: _smf.Chunk) -> NDArray[np.void]:
    """All notes of an MTrk in a Track's columns, in the order of the file."""
    if chunk.notes is not None:
        return chunk.notes
    notes = np.zeros(chunk.n_notes, NOTE_DTYPE)
    onsets = np.array(chunk.onsets, np.int64)
    notes["onset_ticks"] = onsets
    notes["duration_ticks"] = np.array(chunk.ends, np.int64) - onsets
    notes["pitch"] = np.array(chunk.pitches, np.int16)
    notes["velocity"] = np.array(chunk.velocities, np.int16)
    notes["fret"], notes["spelling"] = NO_FRET, NO_SPELLING
    return notes


def _controls(chunk: _smf.Chunk) -> NDArray[np.void]:
    if chunk.controls is not None:
        return chunk.controls
    controls = np.zeros(chunk.n_controls, CONTROL_DTYPE)
    controls["onset_ticks"] = np.array(chunk.control_ticks, np.int64)
    controls["controller"] = np.array(chunk.controllers, np.int16)
    controls["value"] = np.array(chunk.values, np.int16)
    return controls


def _group_of(places: NDArray[np.int16], by_channel: bool) -> NDArray[np.int16]:
    """What makes a track: the place where ``by_channel``, else only its program and whether it is drums."""
    drums = (places & 15) == _smf.DRUM_CHANNEL
    return places if by_channel else (places & ~15 | np.where(drums, _smf.DRUM_CHANNEL, 0)).astype(np.int16)


def _distinct(values: NDArray[np.int16]) -> list[int]:
    """The distinct values in the order of their first appearance."""
    found, first = np.unique(values, return_index=True)
    return found[np.argsort(first)].tolist()


def _control_groups(
    chunk: _smf.Chunk, groups: list[int], note_groups: NDArray[np.int16], by_channel: bool
) -> NDArray[np.int16]:
    """The track that each controller belongs to: that of its channel and program where there is one, else the
    first that plays on its channel, else the first of the MTrk."""
    places = np.array(chunk.control_places, np.int16)
    if len(groups) == 1 or not len(places):
        return np.full(len(places), groups[0], np.int16)
    channels, first = np.unique(np.frombuffer(chunk.places, np.int16) & 15, return_index=True)
    on_channel = np.full(16, groups[0], np.int16)
    on_channel[channels] = note_groups[first]
    own = _group_of(places, by_channel)
    return np.where(np.isin(own, groups), own, on_channel[places & 15])


def _merged(controls: NDArray[np.void], channels: NDArray[np.int16], chunk: _smf.Chunk) -> NDArray[np.void]:
    """The controls of all the track's channels, without those that only repeat one of the first channel."""
    if not len(controls) or (channels == channels[0]).all():
        return controls
    present = set(channels.tolist())
    first = next(channel for channel in chunk.channels if channel in present)
    code = controls["onset_ticks"] << 14 | controls["controller"].astype(np.int64) << 7 | controls["value"]
    return controls[(channels == first) | ~np.isin(code, code[channels == first])]


def _bends(
    chunk: _smf.Chunk, every: NDArray[np.int64], rows: NDArray[np.int64], max_points: int, limits: Limits
) -> NDArray[np.void]:
    """The bend points of the notes ``rows``, counting them from 0; ``every``: onsets of all notes."""
    channels = np.frombuffer(chunk.places, np.int16)[rows] & 15
    parts = []
    for channel in np.unique(channels):
        wheel_rows = np.flatnonzero(np.frombuffer(chunk.wheel_channels, np.int8) == channel)
        mine = np.flatnonzero(channels == channel)
        if not len(wheel_rows):
            continue
        # A first wheel event at rest makes "the last event before the note" always exist.
        ticks = np.concatenate([[-1], np.frombuffer(chunk.wheel_ticks, np.int64)[wheel_rows]])
        cents = np.concatenate([[0], np.frombuffer(chunk.wheel_cents, np.int16)[wheel_rows]])
        first = np.searchsorted(wheel_rows, np.frombuffer(chunk.wheels_before, np.int32)[rows[mine]])
        stop = np.searchsorted(wheel_rows, np.frombuffer(chunk.wheels_until, np.int32)[rows[mine]]) + 1
        bent = (stop - first > 1) | (cents[first] != 0)
        mine, first, count = mine[bent], first[bent], (stop - first)[bent]
        total = int(count.sum())
        if total > max_points:
            limits.check("bend_points", limits.bend_points - max_points + total)
        onsets = every[rows[mine]]
        note = np.repeat(np.arange(len(mine)), count)
        event = np.arange(total) - np.repeat(np.cumsum(count) - count, count) + np.repeat(first, count)
        offset = np.maximum(ticks[event] - onsets[note], 0)
        points = stepped_points(note, offset, cents[event])
        points["note"] = mine[points["note"]]
        parts.append(points)
        max_points -= len(points)
    return np.concatenate(parts) if parts else np.zeros(0, BEND_DTYPE)
