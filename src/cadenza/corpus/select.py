"""Which pieces a corpus takes, and how often: predicates over :class:`~cadenza.corpus.facts.Facts`, written in YAML.

A predicate is a mapping of facts to conditions that must all hold::

    families: {any: [guitar]}          # a list fact: any / all / none of these
    artist: {in: [Opeth, Death]}       # a text: in / not_in / matches (regular expression), case aside
    folder: {matches: "metal/"}        # the file's path below its source, and ``source``, its name
    notes_per_second: {min: 2, max: 20}  # above and below leave the bound itself out
    bend_share: {min: 0.05}
    any: [{…}, {…}]                    # one of these holds
    not: {…}

:class:`Weight` turns a fact into how often a piece is drawn, so that bend-rich solos can be stressed without throwing
the rest away.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cadenza.base.errors import ConfigError, did_you_mean
from cadenza.corpus.facts import NAMES

PLACES = ("folder", "source")  # known of every file beside the facts of its score
#: Known only where the dataset's own table says them: the share of a title's words that its recording's title has
#: too, and how likely the recording is a piano alone (GiantMIDI-Piano).
TABLED = ("title_overlap", "solo_piano_probability")
KNOWN = (*NAMES, *PLACES, *TABLED)
_NUMBER, _LIST = ("min", "max", "above", "below", "equals"), ("any", "all", "none")
_TEXT = ("in", "not_in", "matches", "equals")


@dataclass(frozen=True)
class Weight:
    """How often a piece is drawn: ``low`` … ``high`` as its fact goes from ``start`` to ``stop``, linear between.

    ``Weight("bend_share", 0.0, 0.2, 1, 4)`` draws a piece with a fifth of its notes bent four times as often as one
    without bends.
    """

    fact: str
    start: float
    stop: float
    low: float = 1.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if self.fact not in NAMES:
            raise ConfigError("a fact of a score", repr(self.fact), hint=did_you_mean(self.fact, NAMES))
        if not self.stop > self.start or self.low < 0 or self.high < 0:
            raise ConfigError("stop > start and weights ≥ 0", repr(self))

    def of(self, facts: Mapping[str, Any]) -> float:
        """The weight of a piece with these facts."""
        place = (float(facts[self.fact]) - self.start) / (self.stop - self.start)
        return self.low + (self.high - self.low) * min(max(place, 0.0), 1.0)


def check(predicate: Mapping[str, Any], where: str = "select") -> None:
    """Raise where a predicate names an unknown fact or condition.

    Raises:
        ConfigError: it does.
    """
    if not isinstance(predicate, Mapping):
        raise ConfigError("a mapping of facts to conditions", repr(predicate), where=where)
    for fact, condition in predicate.items():
        inner = f"{where}.{fact}"
        if fact in ("any", "all"):
            if not isinstance(condition, list):
                raise ConfigError("a list of predicates", repr(condition), where=inner)
            for number, one in enumerate(condition):
                check(one, f"{inner}[{number}]")
        elif fact == "not":
            check(condition, inner)
        elif fact not in KNOWN:
            hint = did_you_mean(str(fact), KNOWN)
            raise ConfigError("a fact of a score, folder or source", repr(fact), where=where, hint=hint)
        else:
            _check_condition(condition, inner)


def _check_condition(condition: Any, where: str) -> None:
    known = {*_NUMBER, *_TEXT, *_LIST}
    if not isinstance(condition, Mapping):
        raise ConfigError("conditions such as {min: 2} or {in: [a, b]}", repr(condition), where=where)
    for name, value in condition.items():
        if name not in known:
            raise ConfigError("a condition", repr(name), where=where, hint=did_you_mean(str(name), sorted(known)))
        if name in ("in", "not_in", *_LIST) and not isinstance(value, list):
            raise ConfigError("a list", repr(value), where=f"{where}.{name}")
        if name in ("min", "max", "above", "below") and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ConfigError("a number", repr(value), where=f"{where}.{name}")
        if name == "matches":
            try:
                re.compile(value)
            except (re.error, TypeError) as error:
                raise ConfigError("a regular expression", f"{value!r}: {error}", where=f"{where}.{name}") from None


def holds(predicate: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Whether all conditions hold for ``facts`` (a :meth:`Facts.as_dict` with ``folder`` and ``source``)."""
    return reason(predicate, facts) is None


def reason(predicate: Mapping[str, Any], facts: Mapping[str, Any]) -> str | None:
    """The first condition that does not hold, in words; None where all do."""
    for fact, condition in predicate.items():
        if fact == "any":
            if not any(holds(one, facts) for one in condition):
                return "none of the alternatives holds"
        elif fact == "all":
            for one in condition:
                failed = reason(one, facts)
                if failed:
                    return failed
        elif fact == "not":
            if holds(condition, facts):
                return f"excluded by not: {dict(condition)}"
        else:
            if fact not in facts:
                return f"{fact} is not known"
            for name, bound in condition.items():
                if not _CONDITIONS[name](facts[fact], bound):
                    return f"{fact} is {facts[fact]!r}, not {name} {bound!r}"
    return None


def _fold(value: Any) -> Any:
    return value.casefold() if isinstance(value, str) else value


_CONDITIONS = {
    "min": lambda value, bound: value >= bound,
    "max": lambda value, bound: value <= bound,
    "above": lambda value, bound: value > bound,
    "below": lambda value, bound: value < bound,
    "equals": lambda value, bound: _fold(value) == _fold(bound),
    "in": lambda value, bound: _fold(value) in [_fold(one) for one in bound],
    "not_in": lambda value, bound: _fold(value) not in [_fold(one) for one in bound],
    "matches": lambda value, bound: re.search(bound, str(value), re.IGNORECASE) is not None,
    "any": lambda value, bound: bool(set(value) & set(bound)),
    "all": lambda value, bound: set(bound) <= set(value),
    "none": lambda value, bound: not set(value) & set(bound),
}
