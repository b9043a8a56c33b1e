"""The bar-aware loop guard: when has a group of bars come round once too often?

Music repeats on purpose, so nothing is wrong with a bar that comes again. The guard counts as a listener would: how
many times in a row the last one, two … eight bars have been heard, and how often the last bar was among the sixteen
before. How far music itself goes is measured on a corpus (``benchmarks/loop_table.py``): at each count the table says
at which share of a corpus's bars it is reached. Below :data:`RARE` the next copy is too many, and only then the writer
steps in: it goes back to the bar line and draws the bar again with what it had drawn made unlikely.

A piece that itself repeats more than that (a seed of one bar, eight times) is taken at its word: what the seed does,
its continuation may do.

The table also says how often, and from how far back, a corpus says phrases again (:mod:`cadenza.infer.recall`).

Bars are compared by their texts without velocities.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from cadenza.base.errors import ModelError

GROUPS = (1, 2, 3, 4, 6, 8)  # bars of a group that may come round
WINDOW_BARS = 16
MAX_BACK, MAX_PHRASE = 32, 16  # bars: how far back what comes again is looked for, how much of it is one phrase
RARE = 0.01  # share of a corpus's bars from which on a count is too high
_VELOCITY = re.compile(r":v\d+")


def key_of(bar: str) -> str:
    """What makes two bars the same: the text without velocities; empty for a silent bar."""
    return _VELOCITY.sub("", bar).strip() if "p" in bar else ""


def times_round(keys: Sequence[str], n_bars: int) -> int:
    """How many times in a row the last ``n_bars`` bars have been heard (1 = just now); 0 where they are silent.

    A group that is itself made of equal parts is counted as its parts only.
    """
    group = keys[-n_bars:]
    if len(group) < n_bars or not any(group):
        return 0
    for part in range(1, n_bars):
        if n_bars % part == 0 and all(group[i] == group[i % part] for i in range(n_bars)):
            return 0
    count = 1
    while keys[-(count + 1) * n_bars : len(keys) - count * n_bars] == group:
        count += 1
    return count


def times_near(keys: Sequence[str]) -> int:
    """How many of the last sixteen bars before the last one equal it; 0 for a silent one."""
    return list(keys[-WINDOW_BARS - 1 : -1]).count(keys[-1]) if keys and keys[-1] else 0


class Return(NamedTuple):
    """A phrase that is said again.

    Args:
        back: bars from where it begins to where it began before.
        bars: how many are the same; more than ``back`` where it overlaps itself.
    """

    back: int
    bars: int


def returns_of(keys: Sequence[str]) -> tuple[list[Return], int]:
    """The phrases of two bars or more that come again, from beginning to end, and how many bars there were at which
    one could begin: all but the first and those inside one. Of several places the one that goes on longest counts."""
    found: list[Return] = []
    chances, at = 0, 1
    while at < len(keys):
        chances += 1
        best = Return(0, 0)
        for back in range(1, min(at, MAX_BACK) + 1) if keys[at] else ():
            n = 0
            while n < MAX_PHRASE and at + n < len(keys) and keys[at + n] == keys[at + n - back]:
                n += 1
            best = max(best, Return(back, n), key=lambda one: one.bars)
        if best.bars > 1:
            found.append(best)
        at += max(best.bars, 1)
    return found, chances


@dataclass(frozen=True)
class LoopTable:
    """How often a corpus repeats.

    Args:
        reached: kind ("1" … "8" bars round, or "near") → share of the corpus's bars at which the count is at least
            1, 2, 3 … (for "near" 0, 1, 2 …).
        about: what it was measured on.
        returns: which phrases come again → at which share of the bars where one could begin.
        recall_factor: times as often as that a writer has to begin one, for as many to be there at the end: guards
            and the model's own will cut some short (``benchmarks/recall.py``, on held-out works).
    """

    reached: dict[str, tuple[float, ...]]
    about: dict[str, Any]
    returns: dict[Return, float] = field(default_factory=dict)
    recall_factor: float = 1.0

    @classmethod
    def measured(cls, pieces: Sequence[Sequence[str]], about: dict[str, Any]) -> LoopTable:
        """Of pieces' bars, as :func:`key_of` gives them."""
        counts: dict[str, list[int]] = {kind: [] for kind in (*map(str, GROUPS), "near")}
        for keys in pieces:
            for end in range(1, len(keys) + 1):
                if not keys[end - 1]:
                    continue
                heard = keys[:end]
                for n in GROUPS:
                    if end >= n:
                        counts[str(n)].append(times_round(heard, n))
                counts["near"].append(times_near(heard))
        reached = {}
        for kind, found in counts.items():
            first = 0 if kind == "near" else 1
            most = max(found, default=0)
            total = max(len(found), 1)
            reached[kind] = tuple(sum(c >= k for c in found) / total for k in range(first, most + 1))
        again: Counter[Return] = Counter()
        chances = 0
        for keys in pieces:
            found_here, chances_here = returns_of(keys)
            again.update(found_here)
            chances += chances_here
        returns = {one: again[one] / chances for one in sorted(again)}
        return cls(reached, {**about, "pieces": len(pieces), "bars": sum(map(len, pieces))}, returns)

    def most(self, kind: str, rare: float = RARE) -> int:
        """The highest count that at least ``rare`` of the bars reach; at least two of a round, one near."""
        shares = self.reached.get(kind, ())
        first = 0 if kind == "near" else 1
        common = [first + place for place, share in enumerate(shares) if share >= rare]
        return max(max(common, default=0), 1 if kind == "near" else 2)

    def save(self, path: Path) -> None:
        """Write as JSON."""
        rounded = {kind: [round(share, 6) for share in shares] for kind, shares in self.reached.items()}
        returns = [[*one, round(share, 7)] for one, share in self.returns.items()]
        saved = {
            "about": self.about, "recall_factor": self.recall_factor, "reached": rounded, "returns": returns
        }  # fmt: skip
        path.write_text(json.dumps(saved, indent=1), "utf-8")

    @classmethod
    def load(cls, path: Path) -> LoopTable:
        """Read what :meth:`save` wrote.

        Raises:
            ModelError: the file is missing or not of that form.
        """
        try:
            saved = json.loads(path.read_text("utf-8"))
            reached = {str(kind): tuple(map(float, shares)) for kind, shares in saved["reached"].items()}
            returns = {Return(int(back), int(bars)): float(share) for back, bars, share in saved.get("returns", [])}
            factor = float(saved.get("recall_factor", 1.0))
            shares_fit = all(back > 0 and bars > 0 and share >= 0 for (back, bars), share in returns.items())
            if not shares_fit or not 0 <= factor < math.inf:
                raise ValueError("a phrase of no bars, or a negative share or factor")
            return cls(reached, dict(saved["about"]), returns, factor)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError("a table of how a corpus repeats", str(error), where=str(path)) from None


@cache
def default_table() -> LoopTable:
    """The table for models that bring none (``loops.json`` in their folder): the shipped composer's."""
    return LoopTable.load(Path(str(files("cadenza"))) / "models" / "composer" / "loops.json")


class LoopGuard:
    """Says when a bar makes a loop.

    Args:
        seeds: keys of bars that stand already (before, or beside); what they do is allowed.
    """

    def __init__(self, table: LoopTable, seeds: Sequence[Sequence[str]] = (), rare: float = RARE) -> None:
        self._most = {n: table.most(str(n), rare) for n in GROUPS}
        self._near = table.most("near", rare)
        for heard in (seed[:end] for seed in seeds for end in range(1, len(seed) + 1)):
            for n in GROUPS:
                self._most[n] = max(self._most[n], times_round(heard, n))
            self._near = max(self._near, times_near(heard))

    def objects(self, keys: Sequence[str]) -> bool:
        """Whether the last bar makes one copy too many."""
        if not keys or not keys[-1]:
            return False
        return times_near(keys) > self._near or any(times_round(keys, n) > most for n, most in self._most.items())
