"""Plain MIDI files fast: symusic's compiled reader where a file is of a form in which it agrees with ours.

:func:`decode` gives what :func:`cadenza.formats.midi.decode` gives, bit for bit, or None: the file is not plain, or
symusic is not installed. It is meant for folders of thousands of files; for one, importing symusic takes longer.

symusic forgets which chunk a track came from, where a chunk ends and what is left open, takes damaged bytes for notes,
and sorts notes into tracks by the program at their end. So nothing is left to it but arithmetic:

* regular expressions admit the bytes of each chunk: a head of metas, controllers and programs (read here, in Python),
  then notes, controllers and aftertouch of **one** channel, with key, metre and tempo metas between them, then the end
  of track and nothing behind it. No wheel, no registered parameters, no program after the first note, no system
  exclusive, no byte out of its range;
* symusic is given the rest of each chunk as a chunk of its own, after which every key is released twice and one more
  note is struck and released. This note says which track is which chunk's and where it ends; the releases close what
  was left open, as our reader does. Where the second release meets a note too, there may be more, and None is returned.

Pairing is first in, first out per channel and pitch in both.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.limits import Limits
from cadenza.formats import _smf
from cadenza.score.model import CONTROL_DTYPE, NO_FRET, NO_SPELLING, NOTE_DTYPE, Track

_DELTA = rb"[\x80-\xff]{0,2}+[\x00-\x7f]"  # up to three bytes
_DATA = rb"[\x00-\x7f]"
# Controllers that mean something to the reader: parameter numbers and their data entry, reset.
_TELLING = np.isin(np.arange(128), [*_smf.PARAMETER_CONTROLLERS, _smf.RESET_CONTROLLERS])
_METAS = rb"\xff(?:\x59\x02[\x00-\xff]{2}|\x51\x03[\x00-\xff]{3}|\x58\x04[\x00-\xff][\x00-\x07][\x00-\xff]{2})"
_HEAD = re.compile(
    rb"([\x80-\xff]{0,3}+)([\x00-\x7f])(?:\xff(" + _DATA + rb")(" + _DATA + rb")"
    rb"|([\xb0-\xbf])(" + _DATA + rb")(" + _DATA + rb")|([\xc0-\xcf])(" + _DATA + rb"))",
    re.DOTALL,
)  # fmt: skip
_STATUS = re.compile(_DELTA + rb"([\x80-\xbf])", re.DOTALL)
_RUNNING = re.compile(_DELTA + _DATA, re.DOTALL)
_VELOCITY = 1  # of the note that marks a chunk's end


@lru_cache(maxsize=16)
def _body(channel: int) -> re.Pattern[bytes]:
    """All of a plain chunk from its first note on, up to the end of track."""

    status = rb"[" + b"".join(b"\\x%02x" % (kind | channel) for kind in (0x80, 0x90, 0xA0, 0xB0)) + rb"]"
    # Many simple events in one flat loop: alternatives inside it cost three times as much.
    events = status + rb"[\x00-\x7f]{2}(?:" + _DELTA + status + rb"?+[\x00-\x7f]{2})*+"
    return re.compile(
        rb"(?:" + _DELTA + rb"(?:" + events + rb"|" + _METAS + rb"))*+" + _DELTA + rb"\xff\x2f\x00", re.DOTALL
    )


@lru_cache(maxsize=16)
def _ending(channel: int) -> bytes:
    """What takes the place of the end of track: every key released twice, the note that marks it, the end."""
    off, on = 0x80 | channel, 0x90 | channel
    releases = b"\x00".join(bytes([key, 64]) for key in (*range(128), *range(128)))
    return bytes([off]) + releases + bytes([0, on, 0, _VELOCITY, 0, off, 0, 0]) + b"\x00\xff\x2f\x00"


class PlainChunk:
    """One chunk: what its head says, and where its notes stand in the file.

    Attributes:
        name, metas, programs, channels, end_ticks: as in :class:`cadenza.formats._smf.Chunk`.
        controls: (tick, controller, value) of the head.
        start, stop: bytes of the notes, up to the end of track; equal where there are none.
        channel: the only one; −1 where there is none.
    """

    __slots__ = ("channel", "channels", "controls", "end_ticks", "metas", "name", "programs", "start", "stop")

    def __init__(self) -> None:
        self.name: bytes | None = None
        self.end_ticks = self.start = self.stop = 0
        self.channel = -1
        self.channels: list[int] = []
        self.programs: dict[int, None] = {}
        self.metas: list[tuple[int, int, bytes]] = []
        self.controls: list[tuple[int, int, int]] = []

    def read(self, data: bytes, at: int, stop: int) -> bool:
        """Whether the chunk ``data[at:stop]`` is plain."""
        tick = 0
        while True:
            found = _HEAD.match(data, at, stop)
            if found is None:
                break
            if found[5] and _RUNNING.match(data, found.end(), stop):
                break  # more controllers under this status: left to symusic
            late, last, kind, length, control, controller, value, program, number = found.groups()
            delta = 0
            for byte in late:
                delta = delta << 7 | byte & 127
            tick += delta << 7 | last[0]
            at = found.end()
            if kind is not None:
                at += length[0]
                if at > stop:
                    return False
                meta = kind[0]
                if meta == _smf.META_END:
                    self.end_ticks = tick
                    return at == stop and not length[0]
                if meta == _smf.TEXT_NAME:
                    if self.name is None:
                        self.name = data[found.end() : at]
                elif meta in (_smf.TEXT_MARKER, _smf.META_TEMPO, _smf.META_METRE, _smf.META_KEY):
                    self.metas.append((meta, tick, data[found.end() : at]))
                continue
            channel = (control or program)[0] & 15
            if self.channel not in (-1, channel):
                return False
            self.channel = channel
            if control is not None:
                self.controls.append((tick, controller[0], value[0]))
            else:
                self.programs[number[0] << 4 | channel] = None
        if tick > _smf.MAX_DELTA:
            return False
        first = _STATUS.match(data, at, stop)
        if first is None:
            return False
        channel = first[1][0] & 15
        if self.channel not in (-1, channel) or _body(channel).fullmatch(data, at, stop) is None:
            return False
        self.channel, self.start, self.stop, self.end_ticks = channel, at, stop - 3, tick
        return True

    def alone(self, data: bytes) -> bytes:
        """The notes as a chunk for symusic."""
        # An empty text carries the time of the head.
        head = _smf.quantity(self.end_ticks) + _smf.EMPTY_TEXT
        return _smf.chunk_bytes(b"MTrk", head + data[self.start : self.stop] + _ending(self.channel))


def decode(data: bytes, limits: Limits) -> tuple[int, int, list[PlainChunk], list[Track]] | None:
    """Format, ticks per quarter, chunks (without notes) and tracks of a plain file; None for any other."""
    try:
        import symusic
    except ImportError:
        return None
    if len(data) > limits.file_bytes or data[:8] != b"MThd\x00\x00\x00\x06" or len(data) < 14:
        return None
    kind, n_chunks, division = (int.from_bytes(data[at : at + 2], "big") for at in (8, 10, 12))
    if kind > 1 or division == 0 or division & 0x8000 or n_chunks > limits.tracks:
        return None
    plain: list[PlainChunk] = []
    at = 14
    for _ in range(n_chunks):
        stop = at + 8 + int.from_bytes(data[at + 4 : at + 8], "big")
        one = PlainChunk()
        if data[at : at + 4] != b"MTrk" or stop > len(data) or not one.read(data, at + 8, stop):
            return None
        plain.append(one)
        at = stop
    with_notes = [one for one in plain if one.start < one.stop]
    found: list[Any] = []
    if with_notes:
        if not _fits_32_bits(data):
            return None
        header = _smf.chunk_bytes(b"MThd", b"\x00\x01" + len(with_notes).to_bytes(2, "big") + data[12:14])
        score: Any = symusic.Score.from_midi(header + b"".join([one.alone(data) for one in with_notes]))
        found = list(score.tracks)
        if len(found) != len(with_notes) or not _take_late_metas(plain, score):
            return None
    tracks: list[Track] = []
    parts = iter(found)
    for one in plain:
        part = next(parts) if one.start < one.stop else None
        track = _track(one, part)
        if track is None:
            return None
        tracks += track
    n_events = sum(len(track.controls) for track in tracks) + sum(len(one.metas) for one in plain)
    last = max((one.end_ticks for one in plain), default=0)
    n_notes = sum(len(track) for track in tracks)
    if n_notes > limits.notes or n_events > limits.events or last > limits.quarters * division:
        return None
    return kind, division, plain, tracks


def _fits_32_bits(data: bytes) -> bool:
    """The ticks of the whole file cannot pass what symusic counts to."""
    high = np.frombuffer(data, np.uint8) > 127  # every delta time of three bytes has two such in a row
    return _smf.MAX_DELTA + (int(np.count_nonzero(high[1:] & high[:-1])) << 21) + (len(data) << 12) < 1 << 31


def _take_late_metas(plain: list[PlainChunk], score: Any) -> bool:
    """Add the metas that stand between notes. False where two of one kind and tick differ: which chunk each stood in,
    and so which counts, is not known."""
    late: list[tuple[int, int, bytes]] = [
        *((_smf.META_KEY, one.time, bytes([one.key & 255, one.tonality & 255])) for one in score.key_signatures),
        *((_smf.META_TEMPO, one.time, one.mspq.to_bytes(3, "big")) for one in score.tempos),
        *((_smf.META_METRE, one.time, bytes([one.numerator & 255, one.denominator.bit_length() - 1]))
          for one in score.time_signatures),
    ]  # fmt: skip
    if not late:
        return True
    known = {(kind, tick): payload for one in plain for kind, tick, payload in one.metas}
    for kind, tick, payload in late:
        if known.setdefault((kind, tick), payload)[: len(payload)] != payload:
            return False
    plain[-1].metas += late
    return True


def _track(one: PlainChunk, part: Any) -> list[Track] | None:
    """The chunk's track, if it has one; None where what symusic read proves nothing."""
    n = 0
    if part is not None:
        columns = part.notes.numpy()
        onset, duration, pitch, velocity = (columns[name] for name in ("time", "duration", "pitch", "velocity"))
        n = len(onset) - 1
        if n < 0 or pitch[n] or duration[n] or velocity[n] != _VELOCITY:
            return None
        end = one.end_ticks = int(onset[n])
        to_the_end = onset[:n] + duration[:n] == end
        if to_the_end.any() and len(set(last := pitch[:n][to_the_end].tolist())) < len(last):
            return None  # two of one key: perhaps more of it were open
    if one.channel >= 0:
        one.channels = [one.channel]
    controls = _controls(one, part)
    if len(controls) and _TELLING[controls["controller"]].any():
        return None
    if not n and not one.programs:
        return []
    program = (list(one.programs)[-1 if n else 0] >> 4) if one.programs else 0
    notes = np.zeros(n, NOTE_DTYPE)
    if n:
        notes["onset_ticks"], notes["duration_ticks"] = onset[:n], duration[:n]
        notes["pitch"], notes["velocity"] = pitch[:n], velocity[:n]
        notes["fret"], notes["spelling"] = NO_FRET, NO_SPELLING
    name = _smf.text(one.name) if one.name else ""
    is_drums = one.channel == _smf.DRUM_CHANNEL
    return [Track.known(notes, controls, name, program, is_drums)]


def _controls(one: PlainChunk, part: Any) -> NDArray[np.void]:
    """Those of the head, then those between the notes."""
    late = part.controls.numpy() if part is not None else None
    head, n_late = one.controls, 0 if late is None else len(late["time"])
    if not head and not n_late:
        return np.zeros(0, CONTROL_DTYPE)
    rows = np.zeros(len(head) + n_late, CONTROL_DTYPE)
    rows[: len(head)] = head
    if late is not None and n_late:
        end = rows[len(head) :]
        end["onset_ticks"], end["controller"], end["value"] = late["time"], late["number"], late["value"]
    return rows
