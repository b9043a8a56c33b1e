"""ABC 2.1 (.abc): tunes, and books of them.

``file.abc#22`` is the tune with ``X:22``; a file that holds one tune needs no number. Reading is strict: what is not
ABC is an error with its line and column. Bars that are longer or shorter than their metre are read as they stand
(:func:`cadenza.notation.abc.check` lists them, and everything else that is odd). :func:`repair` reads anything, and
says what it mended.

Text is UTF-8, else what ``%%abc-charset`` names, else Latin-1. Written is one tune, bar by bar across voices, as
:class:`~cadenza.notation.abc.Abc` says with its default options; pass another to change that.
"""

from __future__ import annotations

from pathlib import Path

from cadenza.base.errors import FormatError
from cadenza.base.files import write_atomically
from cadenza.base.limits import DEFAULT_LIMITS, Limits, read_bytes
from cadenza.notation.abc import Abc, Problem, Tune, read_tune
from cadenza.notation.abc.text import TuneText, decode_bytes, split_tunes
from cadenza.score.edit import Edit
from cadenza.score.model import Score

NOTATION = Abc()
PROJECTION: tuple[Edit, ...] = NOTATION.projection
MAX_LISTED = 12


def read(path: Path | str, limits: Limits = DEFAULT_LIMITS, number: int | None = None) -> Score:
    """The file's only tune, or the one with ``X:number``.

    Raises:
        FormatError: there is no such tune, or several and no number; the error lists those that exist.
        NotationError: the tune is not ABC.
        LimitError: it passes ``limits``.
    """
    header, tunes = _tunes(path, limits)
    return read_tune(_chosen(tunes, number, str(path)), header, True, limits).score


def read_all(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> list[tuple[int, Score]]:
    """(number, score) of every tune, in the file's order; ``limits`` hold for each.

    Raises:
        NotationError: one of them is not ABC.
        LimitError: one passes ``limits``.
    """
    header, tunes = _tunes(path, limits)
    return [(tune.number, read_tune(tune, header, True, limits).score) for tune in tunes]


def numbers(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> list[int]:
    """The numbers of the file's tunes, in its order."""
    return [tune.number for tune in _tunes(path, limits)[1]]


def repair(path: Path | str, limits: Limits = DEFAULT_LIMITS, number: int | None = None) -> tuple[Score, list[Problem]]:
    """The tune after repairs, as :func:`read` chooses it, and everything that was odd or mended."""
    header, tunes = _tunes(path, limits)
    tune: Tune = read_tune(_chosen(tunes, number, str(path)), header, False, limits)
    return tune.score, list(tune.problems)


def _tunes(path: Path | str, limits: Limits) -> tuple[list[str], list[TuneText]]:
    header, tunes = split_tunes(decode_bytes(read_bytes(path, limits)))
    return header, list(tunes)


def _chosen(tunes: list[TuneText], number: int | None, where: str) -> TuneText:
    if number is None and len(tunes) == 1:
        return tunes[0]
    found = next((tune for tune in tunes if tune.number == number), None) if number is not None else None
    if found is not None:
        return found
    known = [str(tune.number) for tune in tunes[:MAX_LISTED]] + ["…"] * (len(tunes) > MAX_LISTED)
    expected = "one tune" if number is None else f"a tune with X:{number}"
    hint = f"Name one by its number, {where}#{tunes[0].number} say." if number is None else "Name one of these."
    raise FormatError(expected, f"{len(tunes)}: {', '.join(known)}", where=where, hint=hint)


def write(score: Score, path: Path | str, notation: Abc = NOTATION) -> None:
    """Write the score as a tune, with a line break at the end.

    Raises:
        RangeError: the score has a metre that ABC cannot be written with.
        FormatError: the disk refuses.
    """
    write_atomically(path, (notation.encode(score) + "\n").encode("utf-8"))
