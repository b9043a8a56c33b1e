"""The compiled twin of :func:`cadenza.formats._smf.parse_chunk`, for folders of thousands of MIDI files.

It reads what that one reads, event for event, into columns; wherever that one would raise it stops, and
:func:`parse_chunk` lets the plain one say what is wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cadenza.base.compiled import Loop
from cadenza.base.limits import Limits
from cadenza.formats import _smf
from cadenza.score.model import CONTROL_DTYPE, NO_FRET, NO_SPELLING, NOTE_DTYPE

_NOTE = np.zeros(1, NOTE_DTYPE)
_NOTE["fret"], _NOTE["spelling"] = NO_FRET, NO_SPELLING
_CONTROL = np.zeros(1, CONTROL_DTYPE)
# Controllers that name parameters or enter their data.
_PARAMETER = np.isin(np.arange(128), list(_smf.PARAMETER_CONTROLLERS))


def parse_chunk(data: bytes, start: int, stop: int, limits: Limits, n_notes: int, n_events: int) -> _smf.Chunk:
    """See :func:`cadenza.formats._smf.parse_chunk`, which does a process's first work; the same without numba."""
    read = EVENTS.after(stop - start)
    found = None
    if read is not None:
        body = np.frombuffer(data, np.uint8, stop - start, start)
        found = read(body, _NOTE, _CONTROL, _PARAMETER, limits.notes - n_notes, limits.events - n_events)
    if found is None or not found[0]:
        return _smf.parse_chunk(data, start, stop, limits, n_notes, n_events)
    _, lone, in_order, end_ticks, notes, places, wheels, wheel_of, controls, programs, channels, metas = found
    controls, control_places = controls
    chunk = _smf.Chunk(
        end_ticks=end_ticks, notes=notes, places=places, controls=controls, control_places=control_places,
        programs=dict.fromkeys(programs.tolist()), channels=channels.tolist(), lone=lone, in_order=in_order,
    )  # fmt: skip
    if len(wheels):
        chunk.wheels_before, chunk.wheels_until = wheel_of[:, 0].astype(np.int32), wheel_of[:, 1].astype(np.int32)
        chunk.wheel_ticks, chunk.wheel_channels, chunk.wheel_cents = (
            wheels[:, column].astype(kind) for column, kind in enumerate((np.int64, np.int8, np.int16))
        )
    for kind, tick, at, length in metas.tolist():
        payload = data[start + at : start + at + length]
        if kind == _smf.TEXT_NAME:
            chunk.name = payload
        else:
            chunk.metas.append((kind, tick, payload))
    return chunk


def _read(body: Any, note: Any, control: Any, is_parameter: Any, max_notes: int, max_events: int) -> Any:
    """(whether all was read, ``lone`` and ``in_order`` of the Chunk, last tick, notes, places, wheels, wheel events
    before each note's on and off, controls with their places, programs, channels, metas).

    The loop is that of the plain reader, statement by statement; ``note`` and ``control``: one row each, to start from.
    """
    size = len(body)
    most = size // 3 + 1  # a note takes at least three bytes
    notes = np.empty(most, note.dtype)
    places = np.empty(most, np.int16)
    wheel_of = np.empty((most, 2), np.int64)
    following = np.empty(most, np.int64)  # the next note that sounds on the same key
    first, last = np.full(2048, -1, np.int64), np.full(2048, -1, np.int64)
    wheels = np.empty((most, 3), np.int64)
    controls, control_places = np.empty(most, control.dtype), np.empty(most, np.int16)
    metas = np.empty((size // 4 + 1, 4), np.int64)
    programs, channels = np.empty(2048, np.int64), np.empty(16, np.int64)
    has_program, has_channel = np.zeros(2048, np.bool_), np.zeros(16, np.bool_)
    place, wheel = np.arange(16), np.zeros(16, np.int64)
    range_cents = np.full(16, 200, np.int64)
    parameter = np.full((16, 2), 127, np.int64)
    n_notes = n_wheels = n_controls = n_metas = n_programs = n_channels = 0
    at: Any = 0
    tick: Any = 0
    running: Any = 0
    good, named, ended = True, False, False
    while good and not ended and at < size:
        byte = body[at]
        at += 1
        delta = np.int64(byte & 127)
        count = 1
        while byte > 127:
            if count == 4 or at >= size:
                good = False
                break
            byte = body[at]
            at += 1
            count += 1
            delta = delta << 7 | np.int64(byte & 127)
        tick += delta
        if not good or at >= size:
            good = False
            break
        status = np.int64(body[at])
        if status > 127:
            at += 1
            if status < 0xF0:
                running = status
                if not has_channel[status & 15]:
                    has_channel[status & 15] = True
                    channels[n_channels] = status & 15
                    n_channels += 1
        else:
            status = running
        if status == 0:
            good = False
            break
        channel = status & 15
        if status < 0xF0:
            n_data = 1 if 0xC0 <= status < 0xE0 else 2
            if at + n_data > size:
                good = False
                break
            one = np.int64(body[at])
            two = np.int64(body[at + 1]) if n_data == 2 else np.int64(0)
            at += n_data
            if (one | two) > 127:
                good = False
                break
        if status < 0xA0:
            key = channel << 7 | one
            if status > 0x8F and two:
                if n_notes >= max_notes:
                    good = False
                    break
                notes[n_notes] = note[0]
                notes[n_notes].onset_ticks = tick
                notes[n_notes].duration_ticks = -1
                notes[n_notes].pitch = one
                notes[n_notes].velocity = two
                places[n_notes] = place[channel]
                wheel_of[n_notes, 0], wheel_of[n_notes, 1] = n_wheels, -1
                following[n_notes] = -1
                if first[key] < 0:
                    first[key] = n_notes
                else:
                    following[last[key]] = n_notes
                last[key] = n_notes
                n_notes += 1
            elif first[key] >= 0:
                row = first[key]
                notes[row].duration_ticks = tick - notes[row].onset_ticks
                wheel_of[row, 1] = n_wheels
                first[key] = following[row]
        elif status < 0xC0:
            if status < 0xB0:
                continue
            if not is_parameter[one]:
                controls[n_controls].onset_ticks = tick
                controls[n_controls].controller = one
                controls[n_controls].value = two
                control_places[n_controls] = place[channel]
                n_controls += 1
                if n_controls + n_wheels > max_events:
                    good = False
                    break
                if one != 121:
                    continue
                wheel[channel] = 0
                parameter[channel, 0] = parameter[channel, 1] = 127
            elif one > 97:
                parameter[channel, 0 if one & 1 else 1] = two if one > 99 else 127
                continue
            elif one > 38 or parameter[channel, 0] or parameter[channel, 1]:
                continue
            elif one == 6:
                range_cents[channel] = 100 * two + range_cents[channel] % 100
            else:
                range_cents[channel] = range_cents[channel] // 100 * 100 + min(two, 99)
            wheels[n_wheels, 0], wheels[n_wheels, 1] = tick, channel
            wheels[n_wheels, 2] = (2 * wheel[channel] * range_cents[channel] + 8192) // 16384
            n_wheels += 1
            if n_controls + n_wheels > max_events:
                good = False
        elif status < 0xE0:
            if status < 0xD0:
                code = one << 4 | channel
                place[channel] = code
                if not has_program[code]:
                    has_program[code] = True
                    programs[n_programs] = code
                    n_programs += 1
        elif status < 0xF0:
            wheel[channel] = (two << 7 | one) - 8192
            wheels[n_wheels, 0], wheels[n_wheels, 1] = tick, channel
            wheels[n_wheels, 2] = (2 * wheel[channel] * range_cents[channel] + 8192) // 16384
            n_wheels += 1
            if n_controls + n_wheels > max_events:
                good = False
        else:
            kind: Any = -1
            if status == 0xFF:
                if at >= size:
                    good = False
                    break
                kind = np.int64(body[at])
                at += 1
            elif status != 0xF0 and status != 0xF7:
                good = False
                break
            length = np.int64(0)
            count = 0
            byte = np.uint8(128)
            while byte > 127:
                if count == 4 or at >= size:
                    good = False
                    break
                byte = body[at]
                at += 1
                count += 1
                length = length << 7 | np.int64(byte & 127)
            if not good or at + length > size:
                good = False
                break
            at += length
            if kind == 0x2F:
                ended = True
            elif (kind == 3 and not named) or kind == 6 or kind == 0x51 or kind == 0x58 or kind == 0x59:
                metas[n_metas, 0], metas[n_metas, 1] = kind, tick
                metas[n_metas, 2], metas[n_metas, 3] = at - length, length
                n_metas += 1
                named = named or kind == 3
                if n_metas - named > max_events:
                    good = False
    lone = n_notes > 0 and n_wheels == 0
    for row in range(n_notes):
        lone = lone and places[row] == places[0]
        if wheel_of[row, 1] < 0:
            notes[row].duration_ticks = tick - notes[row].onset_ticks
            wheel_of[row, 1] = n_wheels
    for row in range(n_controls):
        lone = lone and control_places[row] & 15 == control_places[0] & 15
    # Only notes of one onset can be out of a Track's order. The bound is for thousands of them in one chord.
    moves_left = 64 * n_notes if lone else 0
    for row in range(1, n_notes if lone else 0):
        low = row
        onset, pitch = notes[row].onset_ticks, notes[row].pitch
        duration, velocity = notes[row].duration_ticks, notes[row].velocity
        while low > 0 and moves_left > 0 and notes[low - 1].onset_ticks == onset:
            before = notes[low - 1]
            if before.pitch < pitch:
                break
            if before.pitch == pitch:
                if before.duration_ticks < duration:
                    break
                if before.duration_ticks == duration and before.velocity <= velocity:
                    break
            notes[low].pitch, notes[low].velocity = before.pitch, before.velocity
            notes[low].duration_ticks = before.duration_ticks
            low -= 1
            moves_left -= 1
        notes[low].pitch, notes[low].velocity, notes[low].duration_ticks = pitch, velocity, duration
    return (
        good, lone, moves_left > 0, tick, notes[:n_notes].copy(), places[:n_notes], wheels[:n_wheels],
        wheel_of[:n_notes], (controls[:n_controls].copy(), control_places[:n_controls]), programs[:n_programs],
        channels[:n_channels], metas[:n_metas],
    )  # fmt: skip


#: Plain, 3 MiB take about as long as loading numba and what it kept (``benchmarks/compiled_midi.py``).
EVENTS = Loop(_read, plain_work=3 << 20)
