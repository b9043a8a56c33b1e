"""Tasks: a score → examples (prompt and completion), in any notation, bare or as an instruction.

A task is a function ``(score, settings, rng) → examples``; those registered under ``cadenza.tasks`` are ``continue``,
``infill`` and ``accompany`` here. Examples are text: which tokenizer reads them is the trainer's business.

``continue`` cuts one text in two, so that prompt and completion joined are exactly the notation's text of the passage.
``infill`` and ``accompany`` tell several texts of the same notation, each after a line that names it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cadenza.base.errors import ConfigError
from cadenza.base.registry import Registry
from cadenza.corpus.family import families_of
from cadenza.corpus.prompts import instruction
from cadenza.notation.base import Notation
from cadenza.score.edit import select_bars
from cadenza.score.model import Score
from cadenza.score.time import bar_table, ticks_to_seconds

TASKS = Registry("cadenza.tasks", "task")
BEFORE, AFTER, MIDDLE, GIVEN, PART = "before:", "after:", "between:", "given:", "part:"
HEARD, SCORE = "heard:", "score:"


@dataclass(frozen=True)
class Length:
    """How long a passage is; the first bound that is met ends it, always on a bar line.

    Args:
        bars, seconds, words: greatest length; None = no bound. ``words`` counts the notation's words (blank-separated).
        context: share of the passage that is the prompt of ``continue`` (about a tenth in the published work).
        min_bars: shorter passages are left out.
        overlap: share by which a passage starts before the last one's end, so that what follows a cut has context.
    """

    bars: int | None = 32
    seconds: float | None = None
    words: int | None = None
    context: float = 0.1
    min_bars: int = 2
    overlap: float = 0.0

    def __post_init__(self) -> None:
        bounds = [bound for bound in (self.bars, self.seconds, self.words) if bound is not None]
        if not all(bound > 0 for bound in bounds) or self.min_bars < 2:
            raise ConfigError("lengths above 0 and at least 2 bars", repr(self))
        if not 0 < self.context < 1 or not 0 <= self.overlap < 1:
            raise ConfigError("context within 0–1 and overlap within 0–1", repr(self))


@dataclass(frozen=True)
class Settings:
    """What all tasks share: the notation, the length of passages, and how the prompt is worded.

    Args:
        style: "bare" (the music alone) or "instruct" (the published instruction before it).
    """

    notation: Notation
    length: Length = field(default_factory=Length)
    style: str = "bare"

    def __post_init__(self) -> None:
        if self.style not in ("bare", "instruct"):
            raise ConfigError('style "bare" or "instruct"', repr(self.style))


@dataclass(frozen=True)
class Example:
    """One row of a corpus: ``prompt`` is given, ``completion`` is learned.

    Args:
        task: its name.
        first_bar, n_bars: where in the piece (after its edits) the passage lies.
        n_notes: notes in the completion.
        seconds: length of the passage.
        detail: what the task chose (bars, track …).
    """

    task: str
    prompt: str
    completion: str
    first_bar: int
    n_bars: int
    n_notes: int
    seconds: float
    detail: dict[str, Any] = field(default_factory=dict)

    def record(self) -> dict[str, Any]:
        """Plain columns; ``detail`` as JSON."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {"seconds": round(self.seconds, 3), "detail": json.dumps(self.detail, sort_keys=True)}


Task = Callable[[Score, Settings, np.random.Generator], Iterator[Example]]


def cut(score: Score, settings: Settings) -> Iterator[tuple[int, Score]]:
    """(first bar, score) of the passages of a piece: whole bars, as long as ``settings.length`` lets them be."""
    length = settings.length
    table = bar_table(score)
    starts = ticks_to_seconds(score, table.starts_ticks)
    ends = ticks_to_seconds(score, table.ends_ticks)
    first = 0
    while first < len(table):
        stop = len(table) if length.bars is None else min(first + length.bars, len(table))
        if length.seconds is not None:
            fits = int(np.searchsorted(ends[first:stop], starts[first] + length.seconds + 1e-9, side="right"))
            stop = first + max(fits, 1)
        passage = select_bars(first, stop).apply(score)
        if length.words is not None:
            stop, passage = _within_words(score, first, stop, passage, settings)
        if stop - first >= length.min_bars and passage.n_notes:
            yield first, passage
        if stop >= len(table):
            return
        first = max(first + 1, stop - int((stop - first) * length.overlap))


def _within_words(score: Score, first: int, stop: int, passage: Score, settings: Settings) -> tuple[int, Score]:
    """The longest passage from ``first`` that the words allow (texts grow with their bars)."""
    most = settings.length.words or 0
    text = settings.notation.encode(passage)
    if len(text.split()) <= most:
        return stop, passage
    # Where every bar begins with a word of its own, the text itself says where it is full.
    starts = [found.start() for found in re.finditer(settings.notation.unit_start, text)]
    if len(starts) == stop - first:
        ends = [*starts[1:], len(text)]
        n_bars = sum(len(text[:end].split()) <= most for end in ends) or 1
        return first + n_bars, select_bars(first, first + n_bars).apply(score)

    def fits(passage: Score) -> bool:
        return len(settings.notation.encode(passage).split()) <= most

    low, high = first + 1, stop
    while high - low > 1:
        middle = (low + high) // 2
        if fits(select_bars(first, middle).apply(score)):
            low = middle
        else:
            high = middle
    return low, select_bars(first, low).apply(score)


# ── the tasks ────────────────────────────────────────────────────────────────────────────────────────────


def continue_(score: Score, settings: Settings, rng: np.random.Generator) -> Iterator[Example]:
    """The beginning of each passage as prompt, the rest as completion; cut at a bar line's word."""
    del rng
    for first, passage in cut(score, settings):
        table = bar_table(passage)
        n_given = max(1, round(settings.length.context * len(table)))
        if n_given >= len(table):
            continue
        text = settings.notation.encode(passage)
        start = _shared(text, settings.notation.encode(select_bars(0, n_given).apply(passage)))
        given = select_bars(0, n_given).apply(passage).n_notes
        if not start or not text[start:].strip() or not given:
            continue
        prompt = worded(text[:start], "continue", passage, settings)
        yield example("continue", prompt, text[start:], first, passage, passage.n_notes - given, {"given": n_given})


def infill(score: Score, settings: Settings, rng: np.random.Generator) -> Iterator[Example]:
    """Some bars inside each passage are to be written; what stands before and after is given."""
    for first, passage in cut(score, settings):
        n_bars = len(bar_table(passage))
        if n_bars < 3:
            continue
        n_middle = int(rng.integers(1, max(2, n_bars // 2)))
        start = int(rng.integers(1, n_bars - n_middle))
        parts = [(0, start), (start + n_middle, n_bars), (start, start + n_middle)]
        before, after, middle = (select_bars(*part).apply(passage) for part in parts)
        if not middle.n_notes or not before.n_notes + after.n_notes:
            continue
        encode = settings.notation.encode
        prompt = worded(infill_text(encode(before), encode(after), n_middle), "infill", passage, settings)
        yield example("infill", prompt, encode(middle), first, passage, middle.n_notes, {"bars": [start, n_middle]})


def accompany(score: Score, settings: Settings, rng: np.random.Generator) -> Iterator[Example]:
    """One track of each passage is to be written; the others are given. A track that hardly plays is not asked for."""
    # Of the whole piece: a passage says less of its instruments, and two passages might not agree.
    families = dict(zip((n for n, track in enumerate(score.tracks) if len(track)), families_of(score)[0], strict=True))
    for first, passage in cut(score, settings):
        sounding = [index for index, track in enumerate(passage.tracks) if len(track)]
        asked = [i for i in sounding if 4 * len(passage.tracks[i]) >= len(bar_table(passage))]
        if len(sounding) < 2 or not asked:
            continue
        chosen = int(rng.choice(asked))
        others = passage.with_tracks(passage.tracks[i] for i in sounding if i != chosen)
        part = passage.with_tracks([passage.tracks[chosen]])
        family = families[chosen]
        encode = settings.notation.encode
        prompt = worded(accompany_text(encode(others), family), "accompany", passage, settings)
        yield example("accompany", prompt, encode(part), first, passage, len(passage.tracks[chosen]), {"part": family})


def infill_text(before: str, after: str, n_bars: int) -> str:
    """What is given of ``infill``: two texts, and how many bars are wanted between them."""
    return f"{BEFORE}\n{before}\n{AFTER}\n{after}\n{MIDDLE} {n_bars}\n"


def heard_text(events: str) -> str:
    """What is given of ``transcribe``: the events that were heard."""
    return f"{HEARD}\n{events}\n{SCORE}\n"


def accompany_text(given: str, family: str) -> str:
    """What is given of ``accompany``: the other tracks' text, and the family of the part that is wanted."""
    return f"{GIVEN}\n{given}\n{PART} {family}\n"


def example(
    task: str, prompt: str, completion: str, first: int, passage: Score, n_notes: int, detail: dict[str, Any]
) -> Example:
    """The example of a passage that begins with bar ``first`` of its piece."""
    seconds = float(ticks_to_seconds(passage, passage.length_ticks))
    return Example(task, prompt, completion, first, len(bar_table(passage)), n_notes, seconds, detail)


def worded(music: str, task: str, passage: Score, settings: Settings) -> str:
    """The prompt, after the instruction where the settings ask for it."""
    if settings.style == "bare":
        return music
    return instruction(task, passage, settings.notation) + "\n" + music


def _shared(text: str, beginning: str) -> int:
    """How far ``text`` begins as ``beginning`` does, back to the end of a word."""
    shortest = min(len(text), len(beginning))
    same = next((i for i in range(shortest) if text[i] != beginning[i]), shortest)
    if same == len(beginning) and text[same : same + 1].isspace():
        return same + 1
    return max(text.rfind(" ", 0, same), text.rfind("\n", 0, same)) + 1


def examples(score: Score, tasks: Mapping[str, tuple[float, Settings]], rng: np.random.Generator) -> list[Example]:
    """The examples of all ``tasks`` (name → share of the pieces that serve it, and its settings) that this piece gives.

    Raises:
        CadenzaError: the notation refuses the piece.
    """
    out: list[Example] = []
    for name in sorted(tasks):
        share, settings = tasks[name]
        chosen, seed = rng.random() < share, int(rng.integers(1 << 62))
        if chosen:
            out += TASKS.load(name)(score, settings, np.random.default_rng(seed))
    return out
