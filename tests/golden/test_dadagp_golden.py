"""DadaGP tokens of the Guitar Pro 3–5 fixtures against those of the original encoder 1.1, line by line.

What differs is listed with its cause. Every fixture's tokens, those of files that the original refuses too, say a score
that is written as .gp5 and read again and has the same tokens.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from cadenza.formats.guitarpro import read, write
from cadenza.notation.dadagp import DadaGP

LONG_BAR = (
    "ten bars' worth of notes in the one bar of the file: 635/64, which no .gp5 metre can say, so that the tokens "
    "could not come back from one; it is told as bars of its metre"
)
DIFFERING = {
    "alphatab/guitarpro3/notes.gp3": LONG_BAR,
    "alphatab/guitarpro4/notes.gp4": LONG_BAR,
    "alphatab/guitarpro5/notes.gp5": LONG_BAR,
    "pyguitarpro/Voices.gp5": "two voices have a brush stroke at one beat; the original tells both, and its decoder "
    "takes the last",
}
N_GOLDEN, N_FIXTURES = 99, 120


def fixtures(shared_data: Path) -> dict[str, Path]:
    root = shared_data / "guitarpro"
    return {str(path.relative_to(root)): path for path in sorted(root.rglob("*.gp[345]"))}


def test_tokens_equal_the_original_encoders(shared_data: Path) -> None:
    notation = DadaGP()
    compared, differing = 0, set()
    for name, path in fixtures(shared_data).items():
        golden = shared_data / "dadagp_golden" / f"{name.replace('/', '__')}.tokens.txt"
        if golden.exists():
            compared += 1
            if notation.encode(read(path)).split("\n") != golden.read_text().split("\n"):
                differing.add(name)
    assert compared == N_GOLDEN
    assert differing == set(DIFFERING)


@pytest.mark.parametrize("original", [True, False])
def test_tokens_come_back_from_gp5(shared_data: Path, tmp_path: Path, original: bool) -> None:
    notation = DadaGP(original=original)
    named = fixtures(shared_data)
    assert len(named) == N_FIXTURES
    for name, path in named.items():
        text = notation.encode(read(path))
        score = notation.decode(text)
        assert notation.encode(score) == text, name
        write(score, tmp_path / "piece.gp5")
        assert notation.encode(read(tmp_path / "piece.gp5")) == text, name


def test_the_originals_tokens_are_read(shared_data: Path) -> None:
    """All of them, also those that ours are not equal to."""
    for path in sorted((shared_data / "dadagp_golden").glob("*.tokens.txt")):
        score = DadaGP().decode(path.read_text())
        assert score.length_ticks > 0, path.name


def test_guitar_pro_6_to_8_encode(shared_data: Path) -> None:
    """The original encoder refuses these versions. Each is told, and told back to the same tokens."""
    from cadenza.base.errors import CadenzaError
    from cadenza.formats.gpif import read as read_gpif

    notation = DadaGP()
    root = shared_data / "guitarpro"
    encoded, refused = 0, {}
    for path in sorted(root.rglob("*.gp")) + sorted(root.rglob("*.gpx")):
        text = ""
        try:
            text = notation.encode(read_gpif(path))
        except CadenzaError as error:
            refused[path.name] = str(error)
            continue
        assert notation.encode(notation.decode(text)) == text, path.name
        encoded += 1
    assert refused == {}
    assert encoded == 182
