"""Every error that cadenza raises on purpose.

One root, :class:`CadenzaError`; each error says what was expected, what was found, where, and what to do.
Callers catch the root; the command line prints it without a traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


class CadenzaError(Exception):
    """Root of all errors that cadenza raises on purpose.

    Args:
        expected: what would have been right, as a noun phrase.
        actual: what was found instead.
        where: file, line, column, track or field; empty when the call itself is the place.
        hint: what the user can do about it.
    """

    def __init__(self, expected: str, actual: str, *, where: str = "", hint: str = "") -> None:
        self.expected, self.actual, self.where, self.hint = expected, actual, where, hint
        place = f"{where}: " if where else ""
        advice = f" {hint}" if hint else ""
        super().__init__(f"{place}expected {expected}, found {actual}.{advice}")

    def __reduce__(self) -> tuple[Any, ...]:
        """Errors cross from a worker process as they are; the default would call ``__init__`` with the sentence."""
        return _restored, (type(self), self.args, self.__dict__)

    def at(self, where: str) -> CadenzaError:
        """The same error with ``where`` put before its own place (a reader learns the path last)."""
        place = f"{where}, {self.where}" if self.where else where
        return type(self)(self.expected, self.actual, where=place, hint=self.hint)


def _restored(kind: type[CadenzaError], args: tuple[Any, ...], fields: dict[str, Any]) -> CadenzaError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(fields)
    return error


class FormatError(CadenzaError):
    """A file cannot be read as (or a score cannot be written to) the format that it was taken for."""


class LimitError(FormatError):
    """A file is well-formed so far but passes a configured limit (notes, ticks, bytes, seconds)."""


class NotationError(CadenzaError):
    """A text does not follow its notation's grammar."""


class RangeError(CadenzaError):
    """A musical value lies outside what its type, instrument or unit can hold."""


class InexactError(CadenzaError):
    """An operation would round although exactness was asked for."""


class ConfigError(CadenzaError):
    """A configuration key, value or combination is wrong."""


class RegistryError(CadenzaError):
    """A part (notation, format, metric, …) is unknown or registered twice."""


class MissingExtraError(CadenzaError):
    """An optional dependency is needed and not installed."""


class UnplayableError(CadenzaError):
    """Notes that no hand can play on the given instrument."""


class ModelError(CadenzaError):
    """A model folder is incomplete, inconsistent or not of the expected kind."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A sentence that proposes the closest of ``known`` (or lists them all when nothing is close)."""
    options = sorted(known)
    close = difflib.get_close_matches(word, options, n=1)
    if close:
        return f"Did you mean {close[0]!r}?"
    return f"Known: {', '.join(options)}." if options else "None is registered."
