"""Score ↔ files. A format is a module with ``read(path, limits)``, ``write(score, path)`` or both.

Its entry-point name is the file suffix. A write-only format (wav, png) has no ``read``. A format whose files hold
several pieces also has ``read_all(path, limits)`` and takes ``number`` in ``read``: ``book.abc#22`` is number 22.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from cadenza.base.errors import CadenzaError, FormatError
from cadenza.base.limits import DEFAULT_LIMITS, Limits
from cadenza.base.registry import Registry
from cadenza.score.model import Score

_LONGER = {"txt": ".tokens.txt"}
FORMATS = Registry("cadenza.formats", "format")


def module_for(path: Path, verb: str) -> Any:
    """The format module of a path that can be ``verb``: "read" or "write".

    Raises:
        FormatError: none can; the error lists the suffixes that can be.
        MissingExtraError: writing it needs a package that is not installed.
    """
    suffix = path.suffix.lower().lstrip(".")
    if suffix not in FORMATS.parts() or not _can(suffix, verb):
        raise _refusal(path, verb)  # which names every format that could, and so loads them all
    module = FORMATS.load(suffix)
    if verb == "write" and hasattr(module, "check_installed"):
        module.check_installed(suffix)  # said before the work, not after
    return module


def _refusal(path: Path, verb: str) -> FormatError:
    suffix = path.suffix.lower().lstrip(".")
    done = "read" if verb == "read" else "written"
    hint = f"cadenza {verb}s: {', '.join('.' + s for s in suffixes(verb))}."
    if suffix in FORMATS.parts():
        return FormatError(f"a format that can be {done}", f".{suffix}, which cannot", where=str(path), hint=hint)
    found = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
    return FormatError(f"a file that can be {done}", found, where=str(path), hint=hint)


def _can(suffix: str, verb: str) -> bool:
    """Whether the suffix can be read or written. A module of several suffixes may write only those in its WRITES."""
    module = FORMATS.load(suffix)
    return hasattr(module, verb) and (verb == "read" or suffix in getattr(module, "WRITES", (suffix,)))


def is_music(path: Path, wanted: Collection[str]) -> bool:
    """Whether a file found in a folder is of one of the suffixes ``wanted``. A suffix of all kinds of files
    (.txt) counts under a longer name only."""
    suffix = path.suffix.lower().lstrip(".")
    return suffix in wanted and path.name.lower().endswith(_LONGER.get(suffix, ""))


def suffixes(verb: str) -> list[str]:
    """The suffixes that can be ``verb``: "read" or "write"."""
    return [name for name in FORMATS.names() if _can(name, verb)]


def numbered(path: Path | str) -> tuple[Path, int | None]:
    """``book.abc#22`` → (``book.abc``, 22), where .abc files hold several pieces; else the path itself and None."""
    match = re.fullmatch(r"(.+)#(\d{1,9})", str(path), re.DOTALL)
    if match and not Path(path).exists():
        suffix = Path(match[1]).suffix.lower().lstrip(".")
        if suffix in FORMATS.parts() and hasattr(FORMATS.load(suffix), "read_all"):
            return Path(match[1]), int(match[2])
    return Path(path), None


def read(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Score:
    """The score in the file; the format is chosen by the suffix. ``book.abc#22`` is the piece with that number.

    Raises:
        FormatError: the suffix is unknown or write-only, or the content is not what the suffix says.
        LimitError: the content passes ``limits``.
    """
    path, number = numbered(path)
    module = module_for(path, "read")
    try:
        return module.read(path, limits) if number is None else module.read(path, limits, number=number)
    except CadenzaError as error:
        raise _named(error, path) from error


def read_quickly(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> Score:
    """The same as :func:`read`, for many files: a format may have a reader that starts slowly and then is faster.

    Raises:
        FormatError, LimitError: as :func:`read`.
    """
    reader = getattr(module_for(Path(path), "read"), "read_quickly", None) if numbered(path)[1] is None else None
    if reader is None:
        return read(path, limits)
    try:
        return reader(path, limits)
    except CadenzaError as error:
        raise _named(error, Path(path)) from error


def read_all(path: Path | str, limits: Limits = DEFAULT_LIMITS) -> list[tuple[int, Score]]:
    """(number, score) of every piece in the file; a format whose files hold one gives it the number 1.

    Raises:
        FormatError, LimitError: as :func:`read`.
    """
    path = Path(path)
    module = module_for(path, "read")
    if not hasattr(module, "read_all"):
        return [(1, read(path, limits))]
    try:
        return module.read_all(path, limits)
    except CadenzaError as error:
        raise _named(error, path) from error


def _named(error: CadenzaError, path: Path) -> CadenzaError:
    """The error as a FormatError that names the file."""
    if isinstance(error, FormatError):
        return error if str(path) in error.where else error.at(str(path))
    where = f"{path}, {error.where}".rstrip(", ")
    return FormatError(error.expected, error.actual, where=where, hint=error.hint)


def write(score: Score, path: Path | str, **options: Any) -> None:
    """Write the score; the format is chosen by the suffix, ``options`` are the format's own.

    Raises:
        FormatError: the suffix is unknown or read-only, the score cannot be held, or the disk refuses.
    """
    path = Path(path)
    module_for(path, "write").write(score, path, **options)
