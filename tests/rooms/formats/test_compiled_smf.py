"""The compiled reader of MIDI files gives what the plain one gives, bit for bit, errors included."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from cadenza import formats
from cadenza.base import compiled
from cadenza.base.errors import CadenzaError, FormatError
from cadenza.base.limits import DEFAULT_LIMITS, Limits
from cadenza.formats import _compiled_smf, _smf, midi
from cadenza.formats._smf import chunk_bytes, meta, quantity
from cadenza.score.model import Score
from tests.strategies import examples, scores

from .test_midi import END, smf

pytest.importorskip("numba", reason="what is compiled needs numba, of the extra [corpus]")


@pytest.fixture(autouse=True, scope="module")
def compiled_at_once() -> None:
    """No first work for the plain reader."""
    assert _compiled_smf.EVENTS.now is not None


def outcome(data: bytes, read_chunk: _smf.ReadChunk) -> Score | str:
    """The score, or what the error says."""
    try:
        return midi.decode(data, read_chunk=read_chunk)
    except CadenzaError as error:
        return f"{type(error).__name__}: {error}"


def agrees(data: bytes) -> bool:
    """Whether the file can be read; both readers must say the same, the compiled one without the plain one's help."""
    plain = outcome(data, _smf.parse_chunk)
    quick = outcome(data, _compiled_smf.parse_chunk)
    assert quick == plain
    if isinstance(quick, str):
        return False
    assert [track.notes.flags.writeable for track in quick.tracks] == [False] * len(quick.tracks)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_smf, "parse_chunk", lambda *_: pytest.fail("the compiled reader gave up a sound chunk"))
        assert outcome(data, _compiled_smf.parse_chunk) == plain
    return True


# ── drawn files ──────────────────────────────────────────────────────────────────────────────────────────

_METAS = (
    meta(0x51, (500_000).to_bytes(3, "big")), meta(0x51, (350_000).to_bytes(3, "big")), meta(0x51, b"\0\0\0"),
    meta(0x58, bytes([3, 2, 24, 8])), meta(0x58, bytes([6, 3, 24, 8])), meta(0x58, bytes([0, 2, 24, 8])),
    meta(0x59, b"\xfd\x00"), meta(0x59, b"\x02\x01"), meta(0x59, b"\x09\x00"), meta(0x03, b"name"),
    meta(0x03, b"caf\xe9"), meta(0x06, b"A"), meta(0x01, b"text"), meta(0x05, b"la"), meta(0x06, b""),
)  # fmt: skip


def drawn(rng: random.Random, odd: float) -> bytes:
    """A file of up to three chunks over few pitches and ticks; ``odd``: share of events that no plain file has."""

    def delta() -> bytes:
        return quantity(rng.choice((0, 0, 0, 1, 5, 24, 127, 128, 300, 20_000)))

    def chunk(channel: int) -> bytes:
        out = bytearray()
        running = -1
        body = False
        for _ in range(rng.randint(0, 30)):
            body = body or rng.random() < 0.3
            at = channel if rng.random() >= odd else rng.randrange(16)
            kinds = [0x90, 0x90, 0x90, 0x80, 0x80, 0xA0, 0xB0] if body else [0xB0, 0xC0, 0xFF, 0xFF]
            kind = rng.choice([*kinds, 0xFF] if rng.random() < 0.2 else kinds)
            if rng.random() < odd:
                kind = rng.choice((0xC0, 0xD0, 0xE0, 0xF0, 0xB1))
            out += delta()
            if kind == 0xFF:
                out += rng.choice(_METAS)
                running = -1
                continue
            if kind == 0xF0:
                out += bytes([0xF0, 2, 1, 0xF7])
                running = -1
                continue
            telling = kind == 0xB1
            status = (0xB0 if telling else kind) | at
            if status != running or rng.random() < 0.5:
                out.append(status)
            running = status
            pitch = rng.choice((0, 60, 61, 64))
            if status & 0xF0 in (0xC0, 0xD0):
                out.append(rng.randrange(128))
            elif telling:
                out += bytes([rng.choice((6, 38, 96, 100, 101, 121)), rng.randrange(128)])
            elif status & 0xF0 == 0xB0:
                out += bytes([rng.choice((1, 4, 7, 10, 64)), rng.randrange(128)])
            else:
                out += bytes([pitch, rng.choice((0, 1, 64, 100))])
        return bytes(out + delta() + meta(0x2F, b""))

    n = rng.randint(1, 3)
    channels = [rng.choice((0, 0, 3, 9)) for _ in range(n)]
    header = bytes([0, int(n > 1 or rng.random() < 0.5), 0, n, 1, 0xE0])
    return chunk_bytes(b"MThd", header) + b"".join(chunk_bytes(b"MTrk", chunk(channel)) for channel in channels)


def test_drawn_files_are_read_alike() -> None:
    rng = random.Random(7)
    assert all(agrees(drawn(rng, odd)) for odd in (0, 0.04, 0.3) for _ in range(400))


def test_damaged_files_are_read_or_refused_alike() -> None:
    rng = random.Random(8)
    answered = 0
    for _ in range(1500):
        data = bytearray(drawn(rng, odd=rng.choice((0, 0.1))))
        for _ in range(rng.randint(1, 3)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        answered += agrees(bytes(data))
    assert 300 < answered < 1300


def test_chunks_cut_short_are_refused_alike() -> None:
    rng = random.Random(9)
    for _ in range(40):
        body = drawn(rng, odd=0.3)[22:]
        for stop in range(len(body)):
            agrees(chunk_bytes(b"MThd", bytes([0, 0, 0, 1, 1, 0xE0])) + chunk_bytes(b"MTrk", body[:stop]))


def _sixteen_channels(rng: random.Random) -> bytes:
    """One chunk in which all channels play, bend and change programs, by running status where it holds."""
    out, running = bytearray(), -1
    for _ in range(300):
        status = rng.choice((0x90, 0x90, 0x90, 0x80, 0x80, 0xB0, 0xC0, 0xE0)) | rng.randrange(16)
        out += quantity(rng.choice((0, 0, 1, 60))) + (b"" if status == running else bytes([status]))
        running = status
        out += bytes([rng.choice((60, 64, 7, 6, 100, 101, 38, 121))])
        out += b"" if status & 0xF0 == 0xC0 else bytes([rng.choice((0, 2, 64, 127))])
    return bytes(out + b"\0" + meta(0x2F, b""))


@pytest.mark.parametrize("kind", [0, 1])
def test_sixteen_channels_in_one_chunk_are_read_alike(kind: int) -> None:
    rng = random.Random(10)
    header = chunk_bytes(b"MThd", bytes([0, kind, 0, 1, 1, 0xE0]))
    assert all(agrees(header + chunk_bytes(b"MTrk", _sixteen_channels(rng))) for _ in range(60))


@pytest.mark.parametrize("header", ["00 02 00 01 01 e0", "00 01 00 01 e7 28", "00 01 00 01 00 00", "00 01"])
def test_other_kinds_of_files_are_refused_alike(header: str) -> None:
    """Format 2, time in frames, no time, a short header."""
    body = bytes.fromhex(f"00 90 3c 50 0a 80 3c 00 {END}")
    assert not agrees(chunk_bytes(b"MThd", bytes.fromhex(header)) + chunk_bytes(b"MTrk", body))


def test_chords_of_thousands_of_notes_are_sorted_alike() -> None:
    """Falling pitches of one onset are the worst case of the compiled loop's sorting, which leaves them to NumPy."""
    for n in (2, 127, 128, 3000):
        ons = b"".join(bytes([0, 0x90, 127 - i % 128, 1 + i % 100]) for i in range(n))
        offs = b"".join(bytes([i % 3, 0x80, i * 7 % 128, 0]) for i in range(n))
        body = ons + offs + bytes.fromhex(END)
        assert agrees(chunk_bytes(b"MThd", bytes([0, 0, 0, 1, 1, 0xE0])) + chunk_bytes(b"MTrk", body))


@settings(max_examples=examples(60), deadline=None, suppress_health_check=list(HealthCheck))
@given(score=scores())
def test_written_scores_are_read_alike(score: Score) -> None:
    try:
        data = midi.encode(score)
    except CadenzaError:  # it needs more channels than there are
        return
    assert agrees(data)


# ── one by one ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "body",
    [
        "00 90 3c 50 0a 90 3c 51 0a 80 3c 00 0a 80 3c 00",  # the same key twice: first in, first out
        "00 90 3c 50 00 80 3c 00",  # no length
        "00 90 3c 50 00 90 3c 51 0a",  # left open
        "00 b0 07 50 00 c0 05 00 90 3c 50 0a 80 3c 00",  # volume before the program
        "00 c0 05",  # a program and no note
        "00 b0 07 50",  # neither
        "00 99 24 50 0a 99 24 00",  # drums, released by velocity 0
        "00 90 3c 50 05 ff 59 02 fd 00 05 80 3c 00",  # a key between notes
        "83 60 90 3c 50 81 80 00 80 3c 00",  # long times
        "00 e0 00 50 00 90 3c 50 0a 80 3c 00",  # the wheel
        "00 90 3c 50 0a b0 65 00 00 64 00 00 06 0c 00 26 63 00 e0 00 00 00 80 3c 00",  # its range
        "00 90 3c 50 05 b0 79 00 05 80 3c 00",  # reset
        "00 90 3c 50 05 c0 06 05 80 3c 00",  # a program within a note
        "00 90 3c 50 0a 80 3c 00 00 91 3c 50 0a 81 3c 00 00 b0 07 50 00 b1 07 50",  # two channels
        "00 90 3c 50 00 f0 02 01 f7 0a 80 3c 00",  # system exclusive, then running status
        "00 90 3c 50 05 ff 03 01 61 00 ff 03 01 62 05 3c 00",  # names between notes
        "87 ff ff 7f 90 3c 50 87 ff ff 7f 80 3c 00",  # very long times
    ],
)
def test_bodies_are_read_alike(body: str) -> None:
    end = END if not body.endswith("0a") else END[3:]
    assert agrees(smf(f"{body} {end}"))
    assert agrees(smf(f"00 ff 03 02 61 62 {END}", f"{body} {end}", f"00 91 40 10 0a 81 40 00 {END}"))


@pytest.mark.parametrize(
    "body",
    [
        "00", "00 90", "00 90 3c", "00 3c 50", "00 90 80 50", "00 90 3c 80", "80 80 80 80 00 90 3c 50", "00 c0 80",
        "00 f1 00", "00 ff", "00 ff 51", "00 ff 51 05 00", "00 ff 51 80 80 80 80 01", "00 e0 00 80", "00 b0 80 00",
        "ff ff ff 7f 90 3c 50 00 80 3c 00 00 ff 2f 00",
    ],
)  # fmt: skip
def test_what_is_unsound_is_said_alike(body: str) -> None:
    assert not agrees(smf(body))


def test_limits_and_errors_are_those_of_the_plain_reader(tmp_path: Path) -> None:
    path = tmp_path / "one.mid"
    path.write_bytes(smf(f"00 b0 07 01 00 90 3c 50 0a 80 3c 00 00 90 3c 50 0a 80 3c 00 00 ff 06 01 61 {END}"))
    for limits in (
        Limits(notes=1), Limits(events=0), Limits(file_bytes=20), Limits(quarters=0), Limits(bars=0),
        Limits(tracks=0),
    ):  # fmt: skip
        with pytest.raises(CadenzaError) as own:
            midi.read(path, limits)
        with pytest.raises(CadenzaError) as other:
            midi.read_quickly(path, limits)
        assert str(own.value) == str(other.value)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(FormatError, match=r"one\.mid"):
        formats.read_quickly(path)


def test_without_numba_the_plain_reader_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    loop = compiled.Loop(_compiled_smf.EVENTS._function, plain_work=0)
    assert loop.now is None
    monkeypatch.setattr(_compiled_smf, "EVENTS", loop)
    data = smf(f"00 90 3c 50 0a 80 3c 00 {END}")
    assert midi.decode(data, DEFAULT_LIMITS, _compiled_smf.parse_chunk) == midi.decode(data)


def test_shared_files_are_read_alike(shared_data: Path) -> None:
    """Every 25th; ``benchmarks/compiled_midi.py`` reads all, and damages them."""
    files = sorted(path for path in shared_data.rglob("*") if path.suffix == ".mid")[::25]
    assert all(agrees(path.read_bytes()) for path in files)
