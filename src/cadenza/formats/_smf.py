"""Standard MIDI Files, byte by byte: chunks and events, no music.

:func:`parse` makes one pass over each MTrk chunk with a tight loop that appends to typed arrays, because a
stranger's megabyte must be read within a second: notes are paired first-in-first-out per channel and pitch,
programs and the wheel's range are followed per channel *within the chunk*, and wheel positions leave as cents.
What the bytes mean for a Score is decided in :mod:`cadenza.formats.midi`.

Strict where structure is at stake (lengths, data bytes, running status); events without a place in a Score
(aftertouch, system exclusive, text) are stepped over. The state of one channel does not reach into other
chunks. Source: "Standard MIDI Files 1.0" (MIDI Manufacturers Association, RP-001).
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError
from cadenza.base.limits import Limits

DRUM_CHANNEL = 9
DEFAULT_RANGE_CENTS = 200
WHEEL_STEPS = 8192  # wheel positions between the centre and the end of its range
MAX_DELTA = 0x0FFFFFFF  # the most that a four-byte quantity holds

RESET_CONTROLLERS = 121
PARAMETER_CONTROLLERS = frozenset({6, 38, 96, 97, 98, 99, 100, 101})  # parameter numbers and their data entry

TEXT_NAME, TEXT_MARKER, META_END, META_TEMPO, META_METRE, META_KEY = 0x03, 0x06, 0x2F, 0x51, 0x58, 0x59

Column: TypeAlias = Any  # array[int], or an NDArray of the same item


@dataclass(slots=True)
class Chunk:
    """What one MTrk holds. Arrays of equal length belong together, in the order of the file.

    Columns are arrays as :func:`parse_chunk` makes them, or NumPy's of the same item.
    A ``place`` is ``program << 4 | channel`` at the moment of the event.

    Args:
        onsets, ends: ticks of each note.
        places, pitches, velocities: of each note.
        wheels_before, wheels_until: how many wheel events (of any channel) precede each note's on and off.
        wheel_ticks, wheel_channels, wheel_cents: each change of the wheel or of its range.
        control_ticks, control_places, controllers, values: each controller, parameter numbers left out.
        programs: places that program changes led to, in the order of the first time.
        channels: channels in the order of their first event.
        metas: (type, tick, payload) of tempo, metre, key and marker events.
        notes: the notes in a Track's columns, in place of onsets, ends, pitches and velocities.
        controls: the controllers likewise, in place of their ticks, numbers and values.
        lone: whether it has notes, all of one place, no wheel, and controllers of one channel; None: not looked at.
        in_order: the notes of a lone chunk are in a Track's order.
    """

    name: bytes | None = None
    end_ticks: int = 0
    onsets: array[int] = field(default_factory=lambda: array("q"))
    ends: array[int] = field(default_factory=lambda: array("q"))
    places: Column = field(default_factory=lambda: array("h"))
    pitches: array[int] = field(default_factory=lambda: array("h"))
    velocities: array[int] = field(default_factory=lambda: array("h"))
    wheels_before: Column = field(default_factory=lambda: array("i"))
    wheels_until: Column = field(default_factory=lambda: array("i"))
    wheel_ticks: Column = field(default_factory=lambda: array("q"))
    wheel_channels: Column = field(default_factory=lambda: array("b"))
    wheel_cents: Column = field(default_factory=lambda: array("h"))
    control_ticks: array[int] = field(default_factory=lambda: array("q"))
    control_places: Column = field(default_factory=lambda: array("h"))
    controllers: array[int] = field(default_factory=lambda: array("h"))
    values: array[int] = field(default_factory=lambda: array("h"))
    programs: dict[int, None] = field(default_factory=dict)
    channels: list[int] = field(default_factory=list)
    metas: list[tuple[int, int, bytes]] = field(default_factory=list)
    notes: NDArray[np.void] | None = None
    controls: NDArray[np.void] | None = None
    lone: bool | None = None
    in_order: bool = False

    @property
    def n_notes(self) -> int:
        """How many it holds."""
        return len(self.places)

    @property
    def n_controls(self) -> int:
        """How many controllers."""
        return len(self.control_places)


ReadChunk = Callable[[bytes, int, int, Limits, int, int], Chunk]


def parse(data: bytes, limits: Limits, read_chunk: ReadChunk | None = None) -> tuple[int, int, list[Chunk]]:
    """Format (0 or 1), ticks per quarter, and the MTrk chunks.

    Args:
        read_chunk: another :func:`parse_chunk`.

    Raises:
        FormatError: the bytes are no Standard MIDI File, are cut short, or count time in frames of film.
        LimitError: they pass ``limits``.
    """
    read_chunk = read_chunk or parse_chunk
    limits.check("file_bytes", len(data))
    if data[:4] != b"MThd":
        raise FormatError("a Standard MIDI File (MThd)", repr(data[:4]), where="byte 0", hint="Is it a MIDI file?")
    header = int.from_bytes(data[4:8], "big")
    if len(data) < 14 or header < 6 or 8 + header > len(data):
        raise FormatError("a header of 6 bytes", f"{header} of {max(len(data) - 8, 0)} bytes", where="byte 4")
    kind, n_chunks, division = (int.from_bytes(data[at : at + 2], "big") for at in (8, 10, 12))
    if kind > 1:
        raise FormatError(
            "format 0 or 1", f"format {kind}", where="byte 8", hint="Independent patterns are no single piece."
        )
    if division == 0 or division & 0x8000:
        found = "0" if division == 0 else f"frames of film ({256 - (division >> 8)} a second)"
        raise FormatError(
            "a division in ticks per quarter", found, where="byte 12", hint="Export it again with a musical time base."
        )
    limits.check("tracks", n_chunks)
    max_ticks = limits.quarters * division
    chunks: list[Chunk] = []
    at, n_notes, n_events = 8 + header, 0, 0
    while len(chunks) < n_chunks:
        if at + 8 > len(data):
            raise FormatError(f"{n_chunks} tracks", f"the end after {len(chunks)}", where=f"byte {at}")
        start, size = at + 8, int.from_bytes(data[at + 4 : at + 8], "big")
        if start + size > len(data):
            raise FormatError(f"a chunk of {size:,} bytes", f"{len(data) - start:,} left", where=f"byte {at}")
        if data[at : at + 4] == b"MTrk":
            chunk = read_chunk(data, start, start + size, limits, n_notes, n_events)
            if chunk.end_ticks > max_ticks:
                limits.check("quarters", -(-chunk.end_ticks // division), f"track {len(chunks)}")
            n_notes += chunk.n_notes
            n_events += len(chunk.wheel_ticks) + chunk.n_controls + len(chunk.metas)
            chunks.append(chunk)
        at = start + size
    return kind, division, chunks


def parse_chunk(data: bytes, start: int, stop: int, limits: Limits, n_notes: int, n_events: int) -> Chunk:
    """One MTrk of ``data[start:stop]``; ``n_notes`` and ``n_events`` were found in earlier chunks."""
    chunk = Chunk()
    body = data[start:stop]  # so that reading past the chunk is an IndexError
    at, size = 0, len(body)
    # Bound methods in locals: the loop runs once per event.
    onset, end, place_of = chunk.onsets.append, chunk.ends.append, chunk.places.append
    pitch_of, velocity_of = chunk.pitches.append, chunk.velocities.append
    before, until = chunk.wheels_before.append, chunk.wheels_until.append
    ends, wheels_until = chunk.ends, chunk.wheels_until
    wheel_tick, wheel_channel, wheel_cent = (
        chunk.wheel_ticks.append,
        chunk.wheel_channels.append,
        chunk.wheel_cents.append,
    )
    control_tick, control_place = chunk.control_ticks.append, chunk.control_places.append
    controller_of, value_of = chunk.controllers.append, chunk.values.append
    place = list(range(16))  # program << 4 | channel, now
    wheel = [0] * 16
    range_cents = [DEFAULT_RANGE_CENTS] * 16
    parameter: list[list[int]] = [[127, 127] for _ in range(16)]  # registered parameter selected: MSB, LSB
    seen: dict[int, None] = {}
    waiting: dict[int, deque[int]] = {}  # channel << 7 | pitch → notes that sound, oldest first
    max_notes, max_events = limits.notes - n_notes, limits.events - n_events
    note = n_wheels = n_controls = tick = running = 0
    try:
        while at < size:
            byte = body[at]
            at += 1
            if byte > 127:
                delta = byte & 127
                for _ in range(3):
                    byte = body[at]
                    at += 1
                    delta = delta << 7 | byte & 127
                    if byte < 128:
                        break
                else:
                    raise _bad("a quantity of at most four bytes", "a longer one", start + at)
                tick += delta
            else:
                tick += byte
            status = body[at]
            if status > 127:
                at += 1
                if status < 0xF0:
                    running = status
                    seen[status & 15] = None
            else:
                status = running
            if status < 0xA0:  # note off, note on
                if status == 0:
                    raise _bad("a status byte", f"{body[at]:#04x} with none running", start + at)
                pitch, velocity = body[at], body[at + 1]
                at += 2
                if (pitch | velocity) > 127:
                    raise _bad("a data byte", "a status byte", start + at - 1)
                key = (status & 15) << 7 | pitch
                if status > 0x8F and velocity:
                    if note >= max_notes:
                        limits.check("notes", n_notes + note + 1, f"byte {start + at}")
                    onset(tick)
                    end(-1)
                    place_of(place[status & 15])
                    pitch_of(pitch)
                    velocity_of(velocity)
                    before(n_wheels)
                    until(-1)
                    queue = waiting.get(key)
                    if queue is None:
                        waiting[key] = deque((note,))
                    else:
                        queue.append(note)
                    note += 1
                else:
                    queue = waiting.get(key)
                    if queue:
                        first = queue.popleft()
                        ends[first] = tick
                        wheels_until[first] = n_wheels
            elif status < 0xC0:  # polyphonic aftertouch, controller
                controller, value = body[at], body[at + 1]
                at += 2
                if (controller | value) > 127:
                    raise _bad("a data byte", "a status byte", start + at - 1)
                if status < 0xB0:
                    continue
                channel = status & 15
                if controller not in PARAMETER_CONTROLLERS:
                    control_tick(tick)
                    control_place(place[channel])
                    controller_of(controller)
                    value_of(value)
                    n_controls += 1
                    if n_controls + n_wheels > max_events:
                        limits.check("events", n_events + n_controls + n_wheels, f"byte {start + at}")
                    if controller != RESET_CONTROLLERS:
                        continue
                    wheel[channel] = 0  # and the parameter is deselected (RP-015)
                    parameter[channel] = [127, 127]
                elif controller > 97:
                    # 101, 100: registered parameter, MSB and LSB; 99, 98: one without a standard meaning.
                    parameter[channel][0 if controller & 1 else 1] = value if controller > 99 else 127
                    continue
                elif controller > 38 or parameter[channel] != [0, 0]:
                    continue
                elif controller == 6:
                    range_cents[channel] = 100 * value + range_cents[channel] % 100
                else:
                    range_cents[channel] = range_cents[channel] // 100 * 100 + min(value, 99)
                wheel_tick(tick)
                wheel_channel(channel)
                wheel_cent(cents_of(wheel[channel], range_cents[channel]))
                n_wheels += 1
                if n_controls + n_wheels > max_events:
                    limits.check("events", n_events + n_controls + n_wheels, f"byte {start + at}")
            elif status < 0xE0:  # program, channel aftertouch
                value = body[at]
                at += 1
                if value > 127:
                    raise _bad("a data byte", "a status byte", start + at - 1)
                if status < 0xD0:
                    channel = status & 15
                    place[channel] = value << 4 | channel
                    chunk.programs[value << 4 | channel] = None
            elif status < 0xF0:  # wheel
                low, high = body[at], body[at + 1]
                at += 2
                if (low | high) > 127:
                    raise _bad("a data byte", "a status byte", start + at - 1)
                channel = status & 15
                wheel[channel] = position = (high << 7 | low) - WHEEL_STEPS
                wheel_tick(tick)
                wheel_channel(channel)
                wheel_cent((2 * position * range_cents[channel] + WHEEL_STEPS) // (2 * WHEEL_STEPS))
                n_wheels += 1
                if n_controls + n_wheels > max_events:
                    limits.check("events", n_events + n_controls + n_wheels, f"byte {start + at}")
            else:  # meta, system exclusive
                kind = -1
                if status == 0xFF:
                    kind = body[at]
                    at += 1
                elif status not in (0xF0, 0xF7):
                    raise _bad("an event that files may hold", f"status {status:#04x}", start + at - 1)
                length = 0
                for _ in range(4):
                    byte = body[at]
                    at += 1
                    length = length << 7 | byte & 127
                    if byte < 128:
                        break
                else:
                    raise _bad("a quantity of at most four bytes", "a longer one", start + at)
                at += length
                if at > size:
                    raise _bad(f"{length:,} bytes", f"{size - at + length:,} left in the track", start + at - length)
                if kind == META_END:
                    break
                if kind == TEXT_NAME and chunk.name is None:
                    chunk.name = body[at - length : at]
                elif kind in (TEXT_MARKER, META_TEMPO, META_METRE, META_KEY):
                    chunk.metas.append((kind, tick, body[at - length : at]))
                    if len(chunk.metas) > max_events:
                        limits.check("events", n_events + len(chunk.metas), f"byte {start + at}")
    except IndexError:
        raise _bad("an event", "the end of the track", start + size) from None
    for queue in waiting.values():
        for open_note in queue:
            ends[open_note] = tick
            wheels_until[open_note] = n_wheels
    chunk.end_ticks = tick
    chunk.channels = list(seen)
    return chunk


def _bad(expected: str, actual: str, at: int) -> FormatError:
    return FormatError(expected, actual, where=f"byte {at}", hint="The file is damaged.")


def cents_of(position: int, range_cents: int) -> int:
    """Nearest cent of a wheel position (−8192 … 8191)."""
    return (2 * position * range_cents + WHEEL_STEPS) // (2 * WHEEL_STEPS)


def text(data: bytes) -> str:
    """What a text meta says: UTF-8, or the Latin 1 of older files."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def chunk_bytes(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length."""
    return kind + len(body).to_bytes(4, "big") + body


def quantity(value: int) -> bytes:
    """A number of variable length, at most four bytes."""
    out = bytes([value & 127])
    while value := value >> 7:
        out = bytes([128 | value & 127]) + out
    return out


def meta(kind: int, payload: bytes) -> bytes:
    """A meta event without its delta time."""
    return bytes([0xFF, kind]) + quantity(len(payload)) + payload


EMPTY_TEXT = meta(0x01, b"")
EVENT_DTYPE = np.dtype([("tick", "i8"), ("status", "u1"), ("data", "u1", 2), ("size", "u1")])


def events_bytes(events: NDArray[np.void], end_ticks: int) -> bytes:
    """Delta times and short messages of ``events`` (:data:`EVENT_DTYPE`, in order of time), then the end of track.

    A pause longer than :data:`MAX_DELTA` is bridged with empty texts.
    """
    ticks = np.append(events["tick"], end_ticks)
    delta = np.diff(ticks, prepend=0)
    long = np.flatnonzero(delta > MAX_DELTA)
    if len(long):
        fill = (delta[long] - 1) // MAX_DELTA
        bridges = np.zeros(int(fill.sum()), EVENT_DTYPE)
        step = np.arange(len(bridges)) - np.repeat(np.cumsum(fill) - fill, fill) + 1
        bridges["tick"] = np.repeat(ticks[long] - delta[long], fill) + step * MAX_DELTA
        bridges["status"], bridges["data"], bridges["size"] = 0xFF, (0x01, 0x00), 3
        events = np.insert(events, np.repeat(long, fill), bridges)
        ticks = np.append(events["tick"], end_ticks)
        delta = np.diff(ticks, prepend=0)
    width = 1 + (delta > 0x7F) + (delta > 0x3FFF) + (delta > 0x1FFFFF)
    size = np.append(events["size"], 3).astype(np.int64)
    at = np.cumsum(width + size) - width - size
    out = np.zeros(int((width + size).sum()), np.uint8)
    for digit in range(4):  # the last digit is the lowest and has no continuation bit
        rows = width > digit
        septet = delta[rows] >> (7 * digit) & 127
        out[at[rows] + width[rows] - 1 - digit] = septet | (128 if digit else 0)
    body = at + width
    out[body] = np.append(events["status"], 0xFF)
    out[body + 1] = np.append(events["data"][:, 0], META_END)
    three = size > 2
    out[body[three] + 2] = np.append(events["data"][:, 1], 0)[three]
    return out.tobytes()
