"""DadaGP token files (.dadagp, and .tokens.txt as the data set has them): one token a line.

Written as the original encoder does, without a line break at the end; other options of the notation
(:class:`cadenza.notation.dadagp.DadaGP`) on request.
"""

from __future__ import annotations

from pathlib import Path

from cadenza.base.errors import FormatError
from cadenza.base.files import write_atomically
from cadenza.base.limits import DEFAULT_LIMITS, Limits, read_bytes
from cadenza.notation.dadagp import DadaGP
from cadenza.score.edit import Edit
from cadenza.score.model import Score

NOTATION = DadaGP()
PROJECTION: tuple[Edit, ...] = NOTATION.projection
FIRST = "artist:"
MAX_TEXT_BYTES = 16 << 20


def read(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Score:
    """The score in a file of DadaGP tokens.

    Raises:
        FormatError: not UTF-8, or another text.
        NotationError: the tokens do not follow the grammar.
        LimitError: it passes ``limits``.
    """
    data = read_bytes(path, limits)
    if len(data) > MAX_TEXT_BYTES:
        limits.check("file_bytes", max(len(data), limits.file_bytes + 1), str(path))
    if not data.lstrip()[: len(FIRST)] == FIRST.encode():
        raise FormatError("DadaGP tokens, which begin with artist:", repr(data[:20]), where=str(path))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(
            "UTF-8 text", f"byte {error.object[error.start]:#x} at {error.start}", where=str(path)
        ) from None
    n_notes = text.count(":note:")  # a note costs as much as two other tokens
    limits.check("words", n_notes + len(text.split(maxsplit=limits.words)), str(path))
    limits.check("bars", text.count("new_measure"), str(path))
    score = NOTATION.decode(text)
    limits.check("notes", score.n_notes, str(path))
    limits.check("quarters", score.length_ticks // score.ticks_per_quarter, str(path))
    return score


def write(score: Score, path: Path | str, notation: DadaGP = NOTATION) -> None:
    """Write the score's tokens.

    Raises:
        FormatError: a .txt file that is not called .tokens.txt, or the disk refuses.
    """
    path = Path(path)
    if path.suffix.lower() == ".txt" and not path.name.lower().endswith(".tokens.txt"):
        raise FormatError(
            "a name that ends in .tokens.txt", repr(path.name), where=str(path), hint="Or write a .dadagp file."
        )
    write_atomically(path, notation.encode(score).encode("utf-8"))
