"""Repeats, endings and jumps (da capo, segno, coda): the order in which written bars sound, and writing it out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cadenza.base.errors import RangeError
from cadenza.score.edit import Edit, joined, select_ticks
from cadenza.score.model import BarMark, Score
from cadenza.score.time import BarTable, bar_table


def play_order(score: Score, max_bars: int = 20_000) -> list[int]:
    """Indices of the written bars in the order in which they sound.

    A repeat without an opening mark goes back to the end of the previous one, which lasts until its last ending.
    Endings are played in the passes that they name; a repeat goes on while a later ending waits for its pass.

    A jump stands at the end of its bar and is taken once, when the repeats there are over. On the way back, bars that
    have sounded are not repeated again and of their endings the last is played, as custom has it; "al fine" stops
    after the bar that is marked so, "al coda" leaves at the bar that says so. A jump to a place that is not marked says
    nothing.

    Raises:
        RangeError: more than ``max_bars`` bars would sound.
    """
    return _Player(bar_table(score), max_bars).play()


@dataclass
class _Player:
    table: BarTable
    max_bars: int
    order: list[int] = field(default_factory=list)
    taken: set[tuple[int, str]] = field(default_factory=set)
    heard: set[int] = field(default_factory=set)  # before the last jump
    until: str = ""  # what the last jump says to do on the way: "coda", "double-coda", "fine"

    def play(self) -> list[int]:
        start, turn, bar = 0, 1, 0
        is_over = False  # the repeat's closing mark is passed; what endings follow still belong to it
        while bar < len(self.table):
            mark = self.table.marks[bar] or BarMark(0)
            endings, close = mark.endings, mark.repeat_close
            if (bar != start and mark.repeat_open) or (is_over and not endings):
                start, turn, is_over = bar, 1, False
            if bar in self.heard:
                is_played, close = not endings or self._is_last(bar), 0
            else:
                is_played = not endings or turn in endings
            if is_played:
                self.order.append(bar)
            if len(self.order) > self.max_bars or turn > self.max_bars:
                raise RangeError(
                    f"at most {self.max_bars} bars after unfolding", "more", hint="Check the repeat counts."
                )
            if close:
                named = self._is_named(turn + 1 if is_played else turn, bar)
                if (turn < close or named) if is_played else (turn < close and not named):
                    turn, bar, is_over = turn + 1, start, False
                    continue
                is_over = True
            if is_played and "fine" in mark.directions and self.until == "fine":
                break
            target = self._jump(bar, mark) if is_played else None
            if target is None:
                bar += 1
            else:
                start, turn, bar, is_over = target, 1, target, False
        return self.order

    def _is_named(self, turn: int, bar: int) -> bool:
        """Whether an ending that follows ``bar`` is played in pass ``turn``."""
        for mark in self.table.marks[bar + 1 :]:
            if mark is None or not mark.endings or mark.repeat_open:
                return False
            if turn in mark.endings:
                return True
        return False

    def _is_last(self, bar: int) -> bool:
        """Whether no later ending of the same repeat has a later pass."""
        marks = self.table.marks
        last = max(marks[bar].endings)  # type: ignore[union-attr]
        for mark in marks[bar + 1 :]:
            if mark is None or not mark.endings or mark.repeat_open:
                return True
            if max(mark.endings) > last:
                return False
        return True

    def _place(self, name: str) -> int | None:
        return next((i for i, mark in enumerate(self.table.marks) if mark and name in mark.directions), None)

    def _jump(self, bar: int, mark: BarMark) -> int | None:
        """The bar to go on with after ``bar``, where a jump is due."""
        for name in mark.directions:
            if not name.startswith("da-") or (bar, name) in self.taken:
                continue
            if name in ("da-coda", "da-double-coda"):
                goal, until = name.removeprefix("da-"), ""
                if self.until != goal:
                    continue
            else:
                goal, _, until = name.removeprefix("da-").partition("-al-")
            target = 0 if goal == "capo" else self._place(goal)
            if target is None:
                continue
            self.taken.add((bar, name))
            self.until = until
            self.heard = set(self.order)
            return target
        return None


def unfold() -> Edit:
    """Write repeats, endings and jumps out, as they sound."""

    def apply(score: Score) -> Score:
        if not any(mark.repeat_close or mark.endings or mark.directions for mark in score.bars):
            return replace(score, bars=tuple(replace(m, repeat_open=False) for m in score.bars if not m.repeat_open))
        table = bar_table(score)
        # Endings whose pass never comes can silence every bar; then the bars sound once, as they are written.
        order = play_order(score) or range(len(table.starts_ticks))
        runs: list[list[int]] = []
        for bar in order:
            if runs and bar == runs[-1][-1] + 1:
                runs[-1].append(bar)
            else:
                runs.append([bar])
        plain = replace(score, bars=())
        pieces, at, marks = [], 0, []
        for run in runs:
            start, stop = int(table.starts_ticks[run[0]]), int(table.ends_ticks[run[-1]])
            pieces.append((at, select_ticks(start, stop).apply(plain)))
            nominal = at
            for bar in run:
                length = int(table.ends_ticks[bar] - table.starts_ticks[bar])
                if at + int(table.starts_ticks[bar]) - start != nominal or bar == run[0]:
                    marks.append(BarMark(at + int(table.starts_ticks[bar]) - start))
                nominal = at + int(table.starts_ticks[bar]) - start + length
            at += stop - start
        return replace(
            joined([piece for _, piece in pieces]), bars=tuple(marks), title=score.title, composer=score.composer
        )

    return Edit("writes repeats and jumps out", apply)
