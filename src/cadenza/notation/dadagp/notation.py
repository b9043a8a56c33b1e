"""DadaGP tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from cadenza.notation.dadagp.piece import SaidPiece
from cadenza.notation.dadagp.reading import score_of
from cadenza.notation.dadagp.text import lines_of, piece_of
from cadenza.notation.dadagp.writing import BEFORE_BEATS, told
from cadenza.score.edit import Edit
from cadenza.score.model import Score


@dataclass(frozen=True)
class DadaGP:
    name: ClassVar[str] = "dadagp"
    variants: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)

    def _told(self, score: Score) -> SaidPiece:
        return told(score, lambda score: "unknown")

    def encode(self, score: Score) -> str:
        return "\n".join(lines_of(self._told(score)))

    def decode(self, text: str) -> Score:
        return score_of(piece_of(text.split()))
