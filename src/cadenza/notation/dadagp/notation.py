"""DadaGP tokens: one a line, all instruments on one time line.

::

    artist:unknown  downtune:0  tempo:100  start  new_measure
    distorted0:note:s4:f2  nfx:palm_mute  bass:note:s5:f0  drums:note:36  wait:480 … end

The notation of the DadaGP data set (Sarmento et al., ISMIR 2021), as its encoder 1.1 writes it from Guitar Pro 3–5, and
from any Score. What that encoder refuses is told with these extensions: more instruments of a family (``bass1``,
``clean2`` …), other tunings and downtunings (see :mod:`cadenza.notation.dadagp.tunings`), banjos. Faults of it that are
not kept: effects of a grace note and a trill count their frets from the capo, instruments whose downtunings differ by
octaves are moved to one octave, a beat effect that two voices have at one time is told twice. Read and left out are
``measure:triplet_feel`` and ``bfx:tempo_interpolation``.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from cadenza.base.errors import ConfigError, NotationError
from cadenza.notation.dadagp.grammar import DadaGPState, every_field, fields_of_token, is_left_out
from cadenza.notation.dadagp.reading import score_of
from cadenza.notation.dadagp.text import lines_of, piece_of
from cadenza.notation.dadagp.writing import BEFORE_BEATS, told
from cadenza.notation.grammar import Field, Grammar
from cadenza.score.edit import Edit, project
from cadenza.score.model import Score

Artist = Literal["unknown", "composer"]
UNKNOWN = "unknown"
_NOT_IN_A_NAME = re.compile(r"[^a-z0-9&_()@!~-]+")


def artist_token(name: str) -> str:
    """A name as one word: ASCII, lower case, underscores for what else stands between its letters."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    word = _NOT_IN_A_NAME.sub("_", re.sub("['.]", "", plain)).strip("_")
    return "" if word == UNKNOWN else word


@dataclass(frozen=True)
class DadaGP:
    """The notation.

    Args:
        artist: ``composer`` tells the score's composer as the artist; else it is unknown.
        original: tell tied notes' frets, and what comes from Guitar Pro 3 and 4, exactly as the original encoder does,
            misreadings included: a tied note has the fret of the first note on its string in the bar (0 where there is
            none); from gp3 and gp4 a grace note's length and transition are exchanged; from gp3 vibrato and harmonics
            are left out; from gp4 accents are, and two kinds of artificial harmonics exchanged.

    Raises:
        ConfigError: ``artist`` is something else.
    """

    artist: Artist = "unknown"
    original: bool = True

    name: ClassVar[str] = "dadagp"
    unit_start: ClassVar[str] = r"(?m)^new_measure$"
    joint: ClassVar[Literal[" ", "\n", ""]] = "\n"
    variants: ClassVar[tuple[Mapping[str, Any], ...]] = ({}, {"original": False, "artist": "composer"})

    def __post_init__(self) -> None:
        if self.artist not in get_args(Artist):
            raise ConfigError(" or ".join(get_args(Artist)), repr(self.artist), where="artist")

    def encode(self, score: Score) -> str:
        """The score's tokens, a line each, without a last line break."""
        return "\n".join(lines_of(told(project(score, self._before()), self.original)))

    def decode(self, text: str) -> Score:
        """The score that the tokens say.

        Raises:
            NotationError: they do not follow the grammar; names the line.
        """
        lines = text.split()
        state = DadaGPState()
        for number, line in enumerate(lines, 1):
            try:
                for field in fields_of_token(line):
                    state.feed(field)
            except NotationError as error:
                raise NotationError(error.expected, error.actual, where=f"token {number}", hint=error.hint) from None
        if not state.is_complete:
            raise NotationError("the token end", "the end of the text", where=f"token {len(lines) + 1}")
        return score_of(piece_of([line for line in lines if not is_left_out(line)]))

    def _before(self) -> tuple[Edit, ...]:
        if self.artist == "composer":
            edit = Edit(
                "tells the composer as one word",
                lambda score: replace(score, composer=artist_token(score.composer)),
            )
        else:
            edit = Edit("drops the composer", lambda score: replace(score, composer=""))
        return (*BEFORE_BEATS, edit)

    @property
    def projection(self) -> tuple[Edit, ...]:
        """What encoding changes, in order."""
        says = (
            "tells tracks by family (distorted, clean, bass, leads, pads, drums), like ones on one line, as "
            "instruments of that kind without names; a note ends where the line's next beat begins unless it is tied "
            "there, a second note on a string is left out, bends have twelve places over a note, drums seven notes at "
            "a time, tracks without beats and beyond sixteen of a family are left out; six or seven strings (basses "
            "four to six) in standard or drop tuning as the notes need, other tunings as they are, no capo"
        )
        if self.original:
            says += "; tells Guitar Pro 3 and 4 as the original encoder misreads them"
        return (*self._before(), Edit(says, lambda score: score_of(told(score, self.original))))

    def grammar(self) -> Grammar:
        """The automaton of the tokens."""
        return Grammar(self.name, DadaGPState)

    def fields(self, text: str) -> Iterator[Field]:
        """The fields of a text, as its grammar reads them.

        Raises:
            NotationError: a token cannot be taken apart.
        """
        for line in text.split():
            yield from fields_of_token(line)

    def vocabulary(self) -> Iterable[str]:
        """The fields that a model trained from scratch gets as whole tokens."""
        return every_field()

    def options(self) -> dict[str, Any]:
        """The fields of this value, as they are saved with a model."""
        return asdict(self)
