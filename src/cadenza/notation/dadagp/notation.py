"""DadaGP tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from cadenza.notation.dadagp.piece import SaidPiece
from cadenza.notation.dadagp.reading import score_of
from cadenza.notation.dadagp.text import lines_of, piece_of
from cadenza.notation.dadagp.writing import told
from cadenza.score.model import Score


@dataclass(frozen=True)
class DadaGP:
    name: ClassVar[str] = "dadagp"
    variants: ClassVar[tuple[Mapping[str, Any], ...]] = ({},)

    def _told(self, score: Score) -> SaidPiece:
        return told(score, "unknown", True)

    def encode(self, score: Score) -> str:
        return "\n".join(lines_of(self._told(score)))

    def decode(self, text: str) -> Score:
        return score_of(piece_of(text.split()))
