"""The musician's verb, from Python: continue, fill in, accompany or begin a piece, in several takes, ranked.

import cadenza
takes = cadenza.compose("riff.gp5", bars=8, takes=4)                     # continued
takes = cadenza.compose("song.gp5", infill="5-8", tracks="bass")         # bars of a track written anew
takes = cadenza.compose("song.mid", accompany="drums")                   # a part added
takes = cadenza.compose(new="guitar,bass,drums", tempo=140, key="Em")    # from nothing
cadenza.write(takes[0].score, "more.gp5")
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from cadenza.base.errors import ConfigError
from cadenza.infer import names
from cadenza.infer.choose import Decoding
from cadenza.infer.controls import Controls
from cadenza.infer.generate import Stage, Take, take_all, to_accompany, to_begin, to_continue, to_infill
from cadenza.infer.model import SHIPPED, ComposerModel, load_model
from cadenza.infer.rank import ALIKE, Ranker, columns_of, default_ranker, likeness, seed_and_part
from cadenza.infer.write import Manner
from cadenza.metrics.originality import copied
from cadenza.score.model import Metre, Score, Tempo, Track
from cadenza.score.time import bar_table, bar_ticks, metre_at, tempo_at

DEFAULT_BARS = 8
DEFAULT_TEMPO = 120.0
TICKS_PER_QUARTER = 480  # of a new piece
MAX_TAKES = 100
MAX_ROUNDS = 3  # of drawing again what was nearly equal
SEED_STRIDE = 1_000_003  # between the rounds' random seeds


@dataclass(frozen=True)
class RankedTake:
    """A take with what the ranker says of it.

    Args:
        score: the whole piece.
        take: how it came about.
        rating: 0–100, see :mod:`cadenza.infer.rank`.
        columns: what that was computed from.
        random_seed: draws this take again.
        unmet: wishes that it does not meet, in words.
        original: longest run of notes and share of bars that stand in the training set, where the model brings an
            index of it; and in the seed.
    """

    score: Score = field(repr=False)
    take: Take
    rating: float
    columns: dict[str, float]
    random_seed: int
    unmet: tuple[str, ...] = ()
    original: dict[str, float] = field(default_factory=dict)


def compose(
    score: Score | Path | str | None = None,
    *,
    model: ComposerModel | Path | str = SHIPPED,
    bars: int | None = None,
    seconds: float | None = None,
    infill: str | tuple[int, int] | None = None,
    accompany: str | Track | None = None,
    new: str | Sequence[Track] | None = None,
    tracks: str | Sequence[int] | None = None,
    tempo: float | None = None,
    metre: str | Metre | None = None,
    tuning: str | None = None,
    controls: Controls | None = None,
    key: str | None = None,
    strict_key: bool = False,
    density: float | None = None,
    low: str | int | None = None,
    high: str | int | None = None,
    nearness: float = 0.0,
    decoding: Decoding | None = None,
    takes: int = 1,
    random_seed: int = 0,
    may_be_empty: bool = False,
    ranker: Ranker | None = None,
    on_bar: Callable[[int, int], None] | None = None,
) -> list[RankedTake]:
    """Takes of a piece, the best first.

    Args:
        score: the piece, or its file; none for a new one.
        model: opened, or what :func:`~cadenza.infer.model.load_model` takes.
        bars, seconds: how long; eight bars where neither is said. Of a continuation or a new piece.
        infill: bars to be written anew: "5-8" counted from 1, or (first, stop) counted from 0.
        accompany: an instrument's name or program, or a track without notes: its part is added.
        new: instruments of a new piece.
        tracks: of a continuation or an infill, those that are written; by number (from 1 in text, from 0 as numbers),
            name or family.
        tempo, metre: of a new piece, or from a continuation on.
        tuning: of fretted tracks that are added.
        controls: or its fields one by one: ``key``, ``strict_key``, ``density``, ``low``, ``high``, ``nearness``.
        takes: how many, each different.
        random_seed: of the first; the next has the next.
        may_be_empty: an infill may stay silent.
        on_bar: called with the number of the take and of its bars done.

    Raises:
        ConfigError: wishes that do not exist or do not go together.
        RangeError: the piece cannot be read so.
        ModelError, FormatError: model or file are not what they should be.
    """
    if not 1 <= takes <= MAX_TAKES:
        raise ConfigError(f"1 to {MAX_TAKES} takes", str(takes))
    asked = [name for name, said in (("infill", infill), ("accompany", accompany), ("new", new)) if said is not None]
    if len(asked) > 1:
        raise ConfigError("one task", " and ".join(asked))
    task = asked[0] if asked else "continue"
    if (score is None) != (task == "new"):
        raise ConfigError("a piece (or new and instruments)", "both" if score is not None else "none")
    if controls is None:
        controls = Controls(
            names.key(key) if key is not None else None, strict_key, density,
            None if low is None else names.pitch(str(low)), None if high is None else names.pitch(str(high)), nearness,
        )  # fmt: skip
    _refuse_unused(task, bars=bars, seconds=seconds, tempo=tempo, metre=metre, tuning=tuning, tracks=tracks)
    if isinstance(score, Path | str):
        from cadenza import formats

        score = formats.read(score)
    opened = model if isinstance(model, ComposerModel) else load_model(model)
    wanted_metre = names.metre(metre) if isinstance(metre, str) else metre
    piece, stages = _planned(
        task, score, opened, bars, seconds, infill, accompany, new, tracks, tempo, wanted_metre, tuning, controls
    )
    manner = _manner(opened, controls, decoding or Decoding(), may_be_empty)
    found = _different(piece, opened, stages, manner, takes, random_seed, on_bar)
    judge = ranker or default_ranker()
    ranked = [_ranked(take, seed, judge, controls, opened) for seed, take in found]
    return sorted(ranked, key=lambda one: -one.rating)


_USES = {
    "continue": {"bars", "seconds", "tempo", "metre", "tracks"},
    "infill": {"tracks"},
    "accompany": {"tuning"},
    "new": {"bars", "seconds", "tempo", "metre", "tuning"},
}


def _refuse_unused(task: str, **said: object) -> None:
    for name, value in said.items():
        if value is not None and name not in _USES[task]:
            tasks = ", ".join(task for task, uses in _USES.items() if name in uses)
            raise ConfigError(f"{name} only with {tasks}", f"the task {task}")
    if said["bars"] is not None and said["seconds"] is not None:
        raise ConfigError("bars or seconds", "both")


def _planned(
    task: str,
    score: Score | None,
    model: ComposerModel,
    bars: int | None,
    seconds: float | None,
    infill: str | tuple[int, int] | None,
    accompany: str | Track | None,
    new: str | Sequence[Track] | None,
    tracks: str | Sequence[int] | None,
    tempo: float | None,
    metre: Metre | None,
    tuning: str | None,
    controls: Controls,
) -> tuple[Score, list[Stage]]:
    """The piece with what is asked of its frame, and what is to be written into it."""

    def tuned(track: Track) -> Track:
        return track if tuning is None else names.tuned(track, tuning)

    if task == "new":
        assert new is not None
        parts = names.instruments(new) if isinstance(new, str) else list(new)
        piece = Score(
            tuple(tuned(part) for part in parts), TICKS_PER_QUARTER, (Tempo(0, float(tempo or DEFAULT_TEMPO)),),
            (metre or Metre(0, 4, 4),), () if controls.key is None else (controls.key,),
        )  # fmt: skip
        return piece, list(to_begin(model, _bars(piece, 0, bars, seconds)))
    assert score is not None
    if task == "infill":
        assert infill is not None
        first, stop = names.bars(infill) if isinstance(infill, str) else infill
        return score, list(to_infill(model, first, stop, _tracks(score, tracks)))
    if task == "accompany":
        assert accompany is not None
        part = names.instrument(accompany) if isinstance(accompany, str) else accompany
        piece = score.with_tracks([*score.tracks, tuned(part)])
        return piece, list(to_accompany(piece, model, len(score.tracks)))
    table = bar_table(score)
    last = metre_at(score, int(table.starts_ticks[-1]))
    end = int(table.starts_ticks[-1]) + bar_ticks(last, score.ticks_per_quarter)
    piece = score
    if tempo is not None:
        piece = replace(piece, tempos=(*(t for t in piece.tempos if t.onset_ticks < end), Tempo(end, float(tempo))))
    if metre is not None:
        changed = replace(metre, onset_ticks=end)
        piece = replace(piece, metres=(*(m for m in piece.metres if m.onset_ticks < end), changed))
    n_bars = _bars(piece, end, bars, seconds)
    return piece, list(to_continue(model, n_bars, metre, _tracks(score, tracks)))


def _tracks(score: Score, tracks: str | Sequence[int] | None) -> tuple[int, ...] | None:
    if tracks is None:
        return None
    if isinstance(tracks, str):
        return names.tracks_of(score, tracks)
    chosen = tuple(sorted(set(tracks)))
    if not chosen or not all(0 <= track < len(score.tracks) for track in chosen):
        raise ConfigError(f"tracks of 0–{len(score.tracks) - 1}", str(list(tracks)))
    return chosen


def _bars(score: Score, at: int, bars: int | None, seconds: float | None) -> int:
    if seconds is None:
        return DEFAULT_BARS if bars is None else bars
    if not seconds > 0:
        raise ConfigError("seconds above 0", repr(seconds))
    metre, tempo = metre_at(score, at), tempo_at(score, at)
    quarters = 4 * metre.numerator / metre.denominator
    return max(1, round(seconds * tempo.quarters_per_minute / 60 / quarters))


def _manner(model: ComposerModel, controls: Controls, decoding: Decoding, may_be_empty: bool) -> Manner:
    return Manner(
        decoding,
        model.loops,
        rules=controls.rules,
        wish=controls.wish if controls.bends else None,
        objection=model.objection,
        may_be_empty=may_be_empty,
        narrow=controls.narrowed,
        bend=controls.bend if controls.bends else None,
    )


def _different(
    score: Score,
    model: ComposerModel,
    stages: Sequence[Stage],
    manner: Manner,
    n: int,
    random_seed: int,
    on_bar: Callable[[int, int], None] | None,
) -> list[tuple[int, Take]]:
    """(random seed, take): ``n`` takes; of nearly equal ones the later are drawn again, at most twice."""
    kept: list[tuple[int, Take]] = []
    for turn in range(MAX_ROUNDS):
        seeds = [random_seed + number + turn * SEED_STRIDE for number in range(len(kept), n)]
        found = list(zip(seeds, take_all(score, model, stages, manner, seeds, on_bar), strict=True))
        last = turn == MAX_ROUNDS - 1 or manner.decoding.sampling.temperature == 0
        for seed, take in found:
            _, part = seed_and_part(take.score, take.written)
            alike = any(likeness(part, seed_and_part(old.score, old.written)[1]) >= ALIKE for _, old in kept)
            if last or not alike:
                kept.append((seed, take))
        if len(kept) == n:
            break
    return kept


def _ranked(take: Take, random_seed: int, ranker: Ranker, controls: Controls, model: ComposerModel) -> RankedTake:
    seed, part = seed_and_part(take.score, take.written)
    columns = columns_of(seed, part)
    ticks = {(start, stop) for _, start, stop in take.written}
    n_bars = sum(
        int(bar_table(take.score).index_of(stop - 1)) - int(bar_table(take.score).index_of(start)) + 1
        for start, stop in ticks
    )
    original = {}
    if model.originality is not None:
        original = {f"copied_{name}": value for name, value in copied(part, model.originality.index).items()}
    unmet = tuple(controls.unmet(take.score, take.written, n_bars))
    return RankedTake(take.score, take, ranker.score(columns), columns, random_seed, unmet, original)
