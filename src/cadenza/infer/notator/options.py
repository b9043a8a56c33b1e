"""What a user may say of a piece: tempo, metre, key, grid; checked before any work."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from cadenza.base.errors import ConfigError
from cadenza.score.model import Key

GRIDS = (4, 8, 12, 16, 24, 32, 48)
SLOWEST, FASTEST = 5.0, 1000.0
MAX_NUMERATOR = 32
_MAJOR = {
    name: fifths
    for fifths, name in enumerate(
        ["Cb", "Gb", "Db", "Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#"], -7
    )
}
_MINOR = {
    name: fifths
    for fifths, name in enumerate(
        ["Ab", "Eb", "Bb", "F", "C", "G", "D", "A", "E", "B", "F#", "C#", "G#", "D#", "A#"], -7
    )
}


@dataclass(frozen=True)
class Given:
    """What is said; None: to be found.

    Args:
        tempo: quarter notes a minute.
        grid: places a whole note; 0: none, the performance's timing is kept.
    """

    tempo: float | None = None
    metre: tuple[int, int] | None = None
    key: Key | None = None
    grid: int | None = None


def given(
    tempo: float | None = None,
    metre: str | tuple[int, int] | None = None,
    key: str | Key | None = None,
    quantize: int | str | None = None,
) -> Given:
    """The options as values.

    Raises:
        ConfigError: one is none of what may be said.
    """
    if tempo is not None and not SLOWEST <= tempo <= FASTEST:
        raise ConfigError(f"a tempo of {SLOWEST:g}–{FASTEST:,.0f} quarter notes a minute", f"{tempo:g}")
    return Given(tempo, _metre(metre), _key(key), _grid(quantize))


def _metre(said: str | tuple[int, int] | None) -> tuple[int, int] | None:
    if said is None:
        return None
    if isinstance(said, str):
        match = re.fullmatch(r"\s*(\d{1,3})\s*/\s*(\d{1,3})\s*", said, re.ASCII)
        numbers = (int(match[1]), int(match[2])) if match else None
    else:
        numbers = said
    if numbers is None or not 1 <= numbers[0] <= MAX_NUMERATOR or numbers[1] not in (1, 2, 4, 8, 16):
        raise ConfigError(
            f"a metre as 3/4: 1–{MAX_NUMERATOR} over 1, 2, 4, 8 or 16",
            repr(said) if isinstance(said, str) else "/".join(map(str, said)),
        )
    return numbers


def _key(said: str | Key | None) -> Key | None:
    if said is None or isinstance(said, Key):
        return said
    match = re.fullmatch(r"\s*([A-Ga-g])\s*([b#♭♯]?)\s*(m|min|minor|maj|major|)\s*", said)
    if match:
        name = match[1].upper() + match[2].replace("♭", "b").replace("♯", "#")
        minor = match[3] in ("m", "min", "minor")
        fifths = (_MINOR if minor else _MAJOR).get(name)
        if fifths is not None:
            return Key(0, fifths, "minor" if minor else "major")
    raise ConfigError("a key as G, Bb, F#m or 'C minor', of at most seven accidentals", repr(said))


def _grid(said: int | str | None) -> int | None:
    if said is None:
        return None
    if said == "none":
        return 0
    if isinstance(said, str):
        said = int(said) if re.fullmatch(r"\d{1,3}", said, re.ASCII) else -1
    if said not in GRIDS:
        raise ConfigError(f"quantize none or places a whole note out of {', '.join(map(str, GRIDS))}", repr(said))
    return said


Quantize = int | Literal["none"] | str | None
