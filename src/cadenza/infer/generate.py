"""Continue, fill in, accompany, begin: prompt, constrained sampling bar by bar, and the piece with what was written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np

from cadenza.base.errors import ConfigError, RangeError
from cadenza.infer.choose import Decoding
from cadenza.infer.loops import key_of
from cadenza.infer.model import ComposerModel
from cadenza.infer.prompt import (
    MAX_GAP_BARS,
    PASSAGE_BARS,
    Prompt,
    full_runs,
    put,
    read_gap,
    read_nothing,
    read_others,
    read_seed,
)
from cadenza.infer.rows import Writing, run
from cadenza.infer.sample import Sampling
from cadenza.infer.script import write_script
from cadenza.infer.sheet import Sheet, new_sheet, read_sheet
from cadenza.infer.write import Manner, Written, write_bars
from cadenza.score.edit import select_ticks
from cadenza.score.model import Metre, Score
from cadenza.score.time import bar_ticks

#: Nucleus sampling as in the published guitar work; greedy decoding loops.
DEFAULT_SAMPLING = Sampling(temperature=1.0, top_p=0.95)
MAX_BARS = 1_000
OVERLAP_BARS = 4  # of a part that is written passage by passage
MAX_ROWS = 16

Stage = Callable[[Score], Prompt | Sheet]


@dataclass(frozen=True)
class Take:
    """One piece as the model left it.

    Args:
        score: the whole piece.
        start_ticks: where what was written begins.
        bars: the bars as the model wrote them, in text.
        n_notes: notes in the written part.
        n_tokens: tokens drawn, those of refused bars included.
        copied_bars: share of the bars with notes that equal a bar of the prompt.
        left_out: tracks of the piece that the model did not read.
        written: (track, first tick, last tick) of what was written.
        bits_per_note: −log2 p of the bars that stayed, under the model's own distribution over what was allowed.
        refused: reason → how many bars were drawn again for it.
        kept_against: reason → how many bars stayed although it spoke against them.
        remarks: what the model did not see or do.
    """

    score: Score = field(repr=False)
    start_ticks: int
    bars: tuple[str, ...] = field(repr=False)
    n_notes: int
    n_tokens: int
    copied_bars: float
    left_out: tuple[str, ...] = ()
    written: tuple[tuple[int, int, int], ...] = field(default=(), repr=False)
    bits_per_note: float = 0.0
    refused: dict[str, int] = field(default_factory=dict)
    kept_against: dict[str, int] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


# ── what is to be written, stage by stage ────────────────────────────────────────────────────────────────


def to_continue(
    model: ComposerModel, bars: int, metre: Metre | None = None, only: Sequence[int] | None = None
) -> Iterator[Stage]:
    """``bars`` bars after the last one."""
    if not 1 <= bars <= MAX_BARS:
        raise ConfigError(f"1 to {MAX_BARS} bars", str(bars))
    if model.is_barwise:
        yield lambda score: read_seed(score, model, bars=bars, metre=metre, only=only)
    else:
        yield lambda score: read_sheet(score, model, bars=bars, metre=metre, only=only)


def to_infill(model: ComposerModel, first: int, stop: int, only: Sequence[int] | None = None) -> Iterator[Stage]:
    """Bars ``first`` … ``stop`` − 1. A gap longer than those of training is continued into, and its last bars are
    filled in between that and what follows.

    Raises:
        ConfigError: the model's notation cannot be filled in.
    """
    _refuse_others(model, "infill")
    if stop - first > MAX_GAP_BARS and "infill" in model.tasks and first > 0:
        middle = stop - MAX_GAP_BARS
        yield lambda score: read_gap(score, model, first, middle, only, ahead=False)
        yield lambda score: read_gap(score, model, middle, stop, only)
    else:
        yield lambda score: read_gap(score, model, first, stop, only)


def to_accompany(score: Score, model: ComposerModel, track: int) -> Iterator[Stage]:
    """All full bars of a track beside the others, passage by passage where the model learned it so.

    Raises:
        RangeError: there is nothing to play with.
        ConfigError: the model's notation cannot be accompanied.
    """
    _refuse_others(model, "accompany")
    others = [t for place, t in enumerate(score.tracks) if place != track and len(t)]
    runs = full_runs(score)
    if not others or not runs:
        raise RangeError("full bars in which something plays", "none")
    for first, stop in runs:
        if "accompany" not in model.tasks:
            yield _beside(model, first, stop, track, 0)
            continue
        at = first
        while at < stop:
            standing = min(OVERLAP_BARS, at - first)
            end = min(at - standing + PASSAGE_BARS, stop)
            yield _beside(model, at - standing, end, track, standing)
            at = end


def _beside(model: ComposerModel, first: int, stop: int, track: int, standing: int) -> Stage:
    return lambda score: read_others(score, model, first, stop, track, standing)


def to_begin(model: ComposerModel, bars: int) -> Iterator[Stage]:
    """``bars`` bars of a piece without notes."""
    if not 1 <= bars <= MAX_BARS:
        raise ConfigError(f"1 to {MAX_BARS} bars", str(bars))
    if model.is_barwise:
        yield lambda score: read_nothing(score, model, bars)
    else:
        yield lambda score: new_sheet(score, model, bars)


def _refuse_others(model: ComposerModel, task: str) -> None:
    if not model.is_barwise:
        found = f"{task} in {model.notation.name} {model.notation.options()}"[:200]
        hint = "A model of simplified-midi with bar words on one time line fills in and accompanies."
        raise ConfigError("a continuation or a new piece, which every notation can", found, hint=hint)


# ── writing it ───────────────────────────────────────────────────────────────────────────────────────────


def write_take(
    score: Score,
    model: ComposerModel,
    stages: Sequence[Stage],
    manner: Manner,
    random_seed: int,
    on_bar: Callable[[int], None] | None = None,
) -> Writing[Take]:
    """The piece after all stages, the same for the same ``random_seed``."""
    rng = np.random.default_rng(random_seed)
    before = score
    texts: list[str] = []
    known: list[str] = []
    parts: list[tuple[int, int, int]] = []
    whole = Written()
    left_out: dict[str, None] = {}
    remarks: dict[str, None] = {}
    done = 0
    shared: float | None = None
    for stage in stages:
        prompt = stage(score)
        if isinstance(prompt, Sheet):
            script = yield from write_script(model, prompt, manner, rng, on_bar)
            score = put(score, prompt, prompt.read(script.text), keeps_frets=True)
            n_sounding = sum(map(bool, script.keys))
            copied = sum(bool(key) and key in script.known for key in script.keys)
            shared = copied / n_sounding if n_sounding else 0.0
            texts += script.bars
            parts += [(prompt.tracks[place], prompt.start_ticks, prompt.stop_ticks) for place in prompt.free]
            left_out |= dict.fromkeys(prompt.left_out)
            remarks |= dict.fromkeys(prompt.remarks)
            _count(whole, script)
            continue
        n_bars = prompt.n_bars(score.ticks_per_quarter)
        report = None
        if on_bar is not None:
            report = lambda n, done=done, split=prompt.split: n % split or on_bar(done + n // split)  # noqa: E731
        written = yield from write_bars(model, prompt, n_bars, manner, rng, report)
        # The written bars rely on what stands before them (velocities), so both are read and the first cut off again.
        text = prompt.header + "".join((*prompt.bars, *written.bars)).lstrip()
        read = model.notation.decode(text)
        length = bar_ticks(prompt.metre, read.ticks_per_quarter)
        start = length * len(prompt.bars)
        score = put(score, prompt, select_ticks(start, start + length * n_bars).apply(read))
        texts += written.bars
        known += prompt.bars
        parts += [(prompt.tracks[place], prompt.start_ticks, prompt.stop_ticks) for place in prompt.free]
        left_out |= dict.fromkeys(prompt.left_out)
        remarks |= dict.fromkeys(prompt.remarks)
        _count(whole, written)
        done += n_bars // prompt.split
    n_notes = n_in(score, parts)
    return Take(
        score,
        min((start for _, start, _ in parts), default=before.length_ticks),
        tuple(texts),
        n_notes=n_notes,
        n_tokens=whole.n_tokens,
        copied_bars=shared_bars(texts, known) if shared is None else shared,
        left_out=tuple(left_out),
        written=tuple(parts),
        bits_per_note=-whole.log2_likelihood / n_notes if n_notes else 0.0,
        refused=whole.refused,
        kept_against=whole.kept_against,
        remarks=tuple(remarks),
    )


def _count(whole: Written, new: Written) -> None:
    whole.n_tokens += new.n_tokens
    whole.log2_likelihood += new.log2_likelihood
    for mine, found in ((whole.refused, new.refused), (whole.kept_against, new.kept_against)):
        for reason, count in found.items():
            mine[reason] = mine.get(reason, 0) + count


def n_in(score: Score, parts: Sequence[tuple[int, int, int]]) -> int:
    """Notes in parts of tracks."""
    onsets = [(score.tracks[track].notes["onset_ticks"], start, stop) for track, start, stop in parts]
    return sum(int(((onset >= start) & (onset < stop)).sum()) for onset, start, stop in onsets)


def take_all(
    score: Score,
    model: ComposerModel,
    stages: Sequence[Stage],
    manner: Manner,
    random_seeds: Sequence[int],
    on_bar: Callable[[int, int], None] | None = None,
) -> list[Take]:
    """A take for each seed, in a batch where the decoder's rows may differ in length.

    Args:
        on_bar: called with the number of the take and of its bars done.
    """

    first, *later = stages
    prompt = cache(lambda: first(score))  # all takes begin with the same
    stages = [lambda _: prompt(), *later]

    def job(number: int) -> Callable[[], Writing[Take]]:
        report = None if on_bar is None else (lambda bars: on_bar(number, bars))
        return lambda: write_take(score, model, stages, manner, random_seeds[number], report)

    jobs = [job(number) for number in range(len(random_seeds))]
    done = dict(run(model.decoder, jobs, min(len(jobs), MAX_ROWS)))
    return [done[number] for number in range(len(jobs))]


def continue_score(
    seed: Score,
    model: ComposerModel,
    *,
    bars: int = 8,
    sampling: Sampling = DEFAULT_SAMPLING,
    random_seed: int = 0,
    on_bar: Callable[[int], None] | None = None,
) -> Take:
    """The seed with ``bars`` bars of the model's after it, the same for the same ``random_seed``.

    Args:
        on_bar: called with the number of bars done.

    Raises:
        ConfigError: ``bars`` out of range.
        RangeError: the seed has no notes or an unusual metre.
    """
    manner = Manner(replace(Decoding(), sampling=sampling), model.loops)
    report = None if on_bar is None else (lambda _, bars: on_bar(bars))
    return take_all(seed, model, list(to_continue(model, bars)), manner, [random_seed], report)[0]


def shared_bars(bars: Sequence[str], others: Sequence[str]) -> float:
    """Share of ``bars`` with notes that are, note for note (velocity aside), among ``others``; 0 for none."""
    known = {key_of(bar) for bar in others}
    sounding = [key_of(bar) for bar in bars if "p" in bar]
    return sum(bar in known for bar in sounding) / len(sounding) if sounding else 0.0
