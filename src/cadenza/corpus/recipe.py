"""A piece that is known but not read yet: where it lies, whose it is, which work it belongs to."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cadenza.base.errors import FormatError
from cadenza.corpus.store import Piece
from cadenza.score.model import Score


@dataclass(frozen=True)
class Recipe:
    """A piece that is not read yet; the fields are those of :class:`Piece`, with ``file``, where it lies on disk,
    ``load``, which reads it (a picklable function without arguments: workers call it), and ``facts``, what the
    dataset's own table says of it for selection (:data:`~cadenza.corpus.select.TABLED`)."""

    source: str
    path: str
    licence: str
    attribution: str
    file: Path
    load: Callable[[], Score]
    work_id: str = ""
    split: str = ""
    style: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)

    def piece(self) -> Piece:
        """Read it.

        Raises:
            CadenzaError: it cannot be read.
        """
        score = self.load()
        if not score.n_notes:
            raise FormatError("a piece with notes", "none", where=self.path)
        score = score.with_tracks(track for track in score.tracks if len(track))
        work = self.work_id or f"{self.source}/{slug(score.composer)}/{slug(score.title) or Path(self.path).stem}"
        return Piece(work, self.source, self.licence, self.attribution, score, self.split, self.style, self.path)


def slug(text: str) -> str:
    """Letters and digits of ``text``, lower case, without accents, joined by hyphens."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "-".join(re.findall(r"[a-z0-9]+", plain.lower()))
