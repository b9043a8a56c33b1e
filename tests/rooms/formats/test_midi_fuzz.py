"""Strangers' MIDI files: 2,000 seeded mutations and a list of bombs, each a Score or a typed error in budget."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cadenza.formats import midi
from cadenza.score.model import Bend, Note, Score, Track
from tests import fuzz

END = b"\x00\xff\x2f\x00"


def smf(body: bytes, kind: int = 1, n: int = 1, division: int = 480) -> bytes:
    header = b"".join(i.to_bytes(2, "big") for i in (kind, n, division))
    return b"MThd\0\0\0\6" + header + b"MTrk" + len(body).to_bytes(4, "big") + body


def seed_files(folder: Path) -> list[Path]:
    """Generated files with everything that the format has."""
    lead = [Note(240 * i, 400, 60 + i % 7, 90, (Bend(0, 0), Bend(120, 37 * i))) for i in range(24)]
    band = Score(
        (
            Track.of(lead, name="Lead", program=29),
            Track.of([Note(480 * i, 480, 40) for i in range(12)], name="Bass", program=33),
            Track.of([Note(240 * i, 0, 36 + i % 3) for i in range(24)], is_drums=True),
        ),
        title="Band",
    )
    plain = Score((Track.of([Note(120 * i, 120, 48 + i * 5 % 24) for i in range(200)]),), 120)
    out = []
    for name, data in (
        ("band", midi.encode(band)),
        ("plain", midi.encode(plain)),
        ("tiny", smf(b"\x00\x90\x3c\x40\x60\x3c\x00" + END, kind=0)),
        ("empty", midi.encode(Score())),
    ):
        path = folder / f"{name}.mid"
        path.write_bytes(data)
        out.append(path)
    return out


def test_two_thousand_mutations(tmp_path: Path) -> None:
    files = seed_files(tmp_path)
    if shared := os.environ.get("CADENZA_SHARED"):
        files += sorted(Path(shared, "data", "mutopia").glob("*.mid"))[::200]
        files += sorted(Path(shared, "data", "groove").glob("**/*.mid"))[::300]
    found = fuzz.run("mid", files, 2_000, seed=1)
    assert found.broken == []
    assert sum(found.outcomes.values()) == 2_000
    assert found.outcomes["Score"] > 100
    assert found.outcomes["FormatError"] > 100


def test_what_mutations_leave_readable_can_be_written_and_read_back(tmp_path: Path) -> None:
    assert fuzz.run("mid", seed_files(tmp_path), 300, seed=2, law=True).broken == []


ONS = b"\x00\x90" + b"".join(b"%c\x40\x00" % (i % 128) for i in range(500))[:-1]
BOMBS = {
    "one very late note": smf(b"\xff\xff\xff\x7f\x90\x3c\x40" + END),
    "a late note under the limit": smf(b"\x84\xff\xff\x7f\x90\x3c\x40" + END, division=1000),
    "huge quantity": smf(b"\x00\xff\x01\xff\xff\xff\x7f"),
    "endless quantity": smf(b"\xff" * 1000),
    "huge chunk": b"MThd\0\0\0\6\0\1\0\1\x01\xe0MTrk\xff\xff\xff\xff" + END,
    "huge header": b"MThd\xff\xff\xff\xff\0\1\0\1\x01\xe0MTrk",
    "65,535 tracks": smf(END, n=65_535),
    "a million notes": smf(b"\x00\x90\x3c\x40" + b"\x00\x3c\x40\x01\x3c\x00" * 1_000_000 + END),
    "notes that never end": smf(b"\x00\x90\x3c\x40" + b"\x00\x3c\x40" * 349_000 + END),
    "controllers": smf(b"\x00\xb0\x07\x01" + b"\x00\x07\x40" * 1_200_000 + END),
    "wheel under many notes": smf(ONS + b"\x00\xe0\x07\x01" + b"\x01\x07\x40\x01\x00\x00" * 240 + END),
    "wheel under too many notes": smf(ONS * 20 + b"\x00\xe0\x07\x01" + b"\x01\x07\x40\x01\x00\x00" * 9000 + END),
    "tempos": smf(b"".join(b"\x01\xff\x51\x03\x01%c%c" % (i >> 8 & 255, i & 255) for i in range(140_000)) + END),
    "markers": smf(b"\x01\xff\x06\x01a" * 200_000 + END, division=32_767),
    "tiny bars": smf(b"\x00\xff\x58\x04\x01\x0f\x18\x08\x8f\xff\x7f\x90\x3c\x40" + END),
    "programs": smf(b"".join(b"\x00\xc0%c\x00\x90\x3c\x40" % (i % 128) for i in range(100_000)) + END),
    "zero division": smf(END, division=0),
    "frames of film": smf(END, division=0xE250),
}


def test_bombs(tmp_path: Path) -> None:
    paths = []
    for name, data in BOMBS.items():
        paths.append(tmp_path / f"{name}.mid")
        paths[-1].write_bytes(data)
    warm = smf(b"\x00\x90\x3c\x40\x60\x3c\x00" + END)
    (tmp_path / "warm.mid").write_bytes(warm)
    found = fuzz.run("mid", [tmp_path / "warm.mid", *paths], 1 + len(paths), raw=True)
    assert found.broken == []
    assert sum(found.outcomes.values()) == 1 + len(paths)
    assert found.outcomes["LimitError"] >= 4


@pytest.mark.parametrize(
    ("suffix", "expected"),
    [("raises", "ZeroDivisionError"), ("spins", "s of CPU"), ("grows", "MemoryError"), ("dies", "died")],
)
def test_the_fuzzer_finds_what_it_is_for(suffix: str, expected: str, tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """A reader that breaks each promise in turn is registered for a folder of its own."""
    info = tmp_path / "bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[cadenza.formats]\n{suffix} = bad_{suffix}\n")
    body = {
        "raises": "1 // 0",
        "spins": "import time\n    start = time.process_time()\n    while time.process_time() < start + .8: pass",
        "grows": "bytearray(1 << 30)",
        "dies": "import os\n    os._exit(3)",
    }[suffix]
    source = f"def read(path, limits):\n    if path.read_bytes() == b'ok': return None\n    {body}\n"
    (tmp_path / f"bad_{suffix}.py").write_text(source)
    seeds = [tmp_path / name for name in ("a", "b", "c", "d")]
    for seed, data in zip(seeds, (b"ok", b"ok", b"ok", b"bad"), strict=True):
        seed.write_bytes(data)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    monkeypatch.setenv("CADENZA_FUZZ_SLACK", "1")
    found = fuzz.run(suffix, seeds, 5, raw=True)
    assert len(found.broken) == 1
    assert expected in found.broken[0]
    assert found.outcomes["Score"] >= 4
