"""Are wishes obeyed? Each control over many runs of a model, and the share of runs that met it.

    python benchmarks/obedience.py --corpus CORPUS --n 200 --out src/cadenza/models/obedience.json [--bars 4]

CORPUS is a folder of ``cadenza corpus build`` or a file of ``python -m cadenza.corpus.build``. Seeds are eight bars of
works of the test split and of their arrangements as bands; each control is asked with values drawn at random, alone,
over ``--n`` continuations (tuning: new pieces).
Met means, measured on the score that came:

- bars, seconds, tempo, metre, tracks, tuning: exactly (seconds: within half a bar);
- low, high: no pitched note beyond; strict-key: no pitch outside the scale;
- key: at least 90 % of the sounding time within it (both sevenths of minor), the control's own bound;
- density: notes a bar within a quarter of what was asked, over the written bars;
- nearness: at 1 more, at −1 fewer of the bars' pairs of neighbouring tokens stand in the seed than without, same random
  seed;
- seed: the same music twice.

What meets its bound in fewer than 95 % of the runs is not advertised (``compose --controls`` shows the figures).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.continuations import seeds_of
from cadenza.base.run import versions
from cadenza.infer import names
from cadenza.infer.compose import RankedTake, compose
from cadenza.infer.controls import DENSITY_TOLERANCE, KEY_TOLERANCE
from cadenza.infer.model import ComposerModel, load_model
from cadenza.infer.prompt import read_seed
from cadenza.score.model import Score
from cadenza.score.time import bar_table, metre_at, tempo_at, ticks_to_seconds

Rng = np.random.Generator
Check = Callable[[Score, RankedTake, dict[str, Any], int, ComposerModel], bool]


def _new_pitches(one: RankedTake) -> tuple[np.ndarray, np.ndarray]:
    """Pitches and lengths of the written pitched notes."""
    start = one.take.start_ticks
    notes = [t.notes[t.notes["onset_ticks"] >= start] for t in one.score.tracks if not t.is_drums]
    joined = np.concatenate(notes) if notes else np.zeros(0, [("pitch", "i2"), ("duration_ticks", "i8")])
    return joined["pitch"], joined["duration_ticks"]


def _bars(seed: Score, one: RankedTake, asked: dict[str, Any], bars: int, model: ComposerModel) -> bool:
    return len(bar_table(one.score)) - len(bar_table(seed)) == asked.get("bars", bars)


def _seconds(seed: Score, one: RankedTake, asked: dict[str, Any], bars: int, model: ComposerModel) -> bool:
    start, stop = (float(s) for s in ticks_to_seconds(one.score, [one.take.start_ticks, one.score.length_ticks]))
    last = bar_table(one.score).starts_ticks[-1]
    bar = stop - float(ticks_to_seconds(one.score, last))
    return abs(stop - start - asked["seconds"]) <= bar / 2 + 0.01 or stop - start <= bar + 0.01


def _tempo(seed: Score, one: RankedTake, asked: dict[str, Any], bars: int, model: ComposerModel) -> bool:
    return tempo_at(one.score, one.take.start_ticks).quarters_per_minute == asked["tempo"]


def _metre(seed: Score, one: RankedTake, asked: dict[str, Any], bars: int, model: ComposerModel) -> bool:
    found, wanted = metre_at(one.score, one.take.start_ticks), names.metre(asked["metre"])
    same = (found.numerator, found.denominator) == (wanted.numerator, wanted.denominator)
    return same and _bars(seed, one, asked, bars, model)


def _scale(seed: Score, one: RankedTake, asked: dict[str, Any], bars: int, model: ComposerModel) -> bool:
    pitches, lengths = _new_pitches(one)
    inside = np.isin(pitches % 12, sorted(names.classes_of(names.key(asked["key"]))))
    if asked.get("strict_key"):
        return bool(inside.all())
    return not lengths.sum() or lengths[inside].sum() / lengths.sum() >= KEY_TOLERANCE


def _tracks(seed: Score, one: RankedTake, asked: dict[str, Any], bars: int, model: ComposerModel) -> bool:
    grown = [len(a) > len(b) for a, b in zip(one.score.tracks, seed.tracks, strict=True)]
    return all(not more or place in asked["tracks"] for place, more in enumerate(grown)) and any(grown)


def _range(seed: Score, one: RankedTake, asked: dict[str, Any], bars: int, model: ComposerModel) -> bool:
    pitches, _ = _new_pitches(one)
    return bool((pitches >= asked.get("low", 0)).all() and (pitches <= asked.get("high", 127)).all())


def _density(seed: Score, one: RankedTake, asked: dict[str, Any], bars: int, model: ComposerModel) -> bool:
    return abs(one.take.n_notes / bars - asked["density"]) <= DENSITY_TOLERANCE * asked["density"]


def _tuning(seed: Score, one: RankedTake, asked: dict[str, Any], bars: int, model: ComposerModel) -> bool:
    return one.score.tracks[0].tuning == names.TUNINGS[asked["tuning"]][0] and one.take.n_notes > 0


def _near(seed: Score, one: RankedTake, asked: dict[str, Any], bars: int, model: ComposerModel) -> bool:
    plain = {name: value for name, value in asked.items() if name != "nearness"}
    (without,) = compose(seed, model=model, bars=bars, random_seed=one.random_seed, **plain)
    prompt = read_seed(seed, model)

    def pairs(texts: tuple[str, ...]) -> list[tuple[int, int]]:
        out: list[tuple[int, int]] = []
        for text in texts:
            ids = model.vocabulary.tokenize(text.strip())[1:]
            out += pairwise(ids)
        return out

    known = set(pairs(prompt.bars))

    def share(texts: tuple[str, ...]) -> float:
        found = pairs(texts)
        return float(np.mean([pair in known for pair in found])) if found else 0.0

    more = share(one.take.bars) - share(without.take.bars)
    return more > 0 if asked["nearness"] > 0 else more < 0


def _again(seed: Score, one: RankedTake, asked: dict[str, Any], bars: int, model: ComposerModel) -> bool:
    (other,) = compose(seed, model=model, bars=bars, random_seed=one.random_seed)
    return bool(other.score == one.score)


def asks(seed: Score, rng: Rng) -> dict[str, tuple[dict[str, Any], Check]]:
    """Control → what is asked in a run, and how it is checked."""

    def one_of(*values: Any) -> Any:
        return values[int(rng.integers(len(values)))]

    key = one_of("C", "G", "D", "A", "E", "F", "Bb", "Eb", "Am", "Em", "Bm", "Dm", "Gm", "Cm", "F#m")
    sounding = [i for i, track in enumerate(seed.tracks) if len(track)]
    low = int(rng.integers(40, 55))
    return {
        "bars": ({"bars": int(rng.integers(1, 9))}, _bars),
        "seconds": ({"seconds": float(rng.uniform(3, 12))}, _seconds),
        "tempo": ({"tempo": float(rng.integers(50, 220))}, _tempo),
        "metre": ({"metre": one_of("3/4", "4/4", "6/8", "7/8", "5/4")}, _metre),
        "key": ({"key": key}, _scale),
        "strict-key": ({"key": key, "strict_key": True}, _scale),
        "tracks": ({"tracks": [int(rng.choice(sounding))]}, _tracks),
        "tuning": ({"tuning": one_of("drop-d", "drop-c", "dadgad", "half-step-down"), "new": "guitar,bass"}, _tuning),
        "density": ({"density": float(one_of(4, 8, 12, 20, 30))}, _density),
        "low": ({"low": low}, _range),
        "high": ({"high": low + int(rng.integers(20, 36))}, _range),
        "nearness": ({"nearness": one_of(-1.0, 1.0)}, _near),
        "seed": ({}, _again),
    }


def keep(out: Path, options: argparse.Namespace, met: dict[str, list[bool]]) -> dict[str, Any]:
    """Write what was measured so far beside other controls' figures of the same model; all of them."""
    saved = json.loads(out.read_text("utf-8")) if out.is_file() else {}
    about = {"command": "benchmarks/obedience.py", "model": options.model}
    controls = saved["controls"] if saved.get("about") == about else {}
    for name, hits in met.items():
        controls[name] = {"runs": len(hits), "met": sum(hits), "bars": options.bars}
    out.write_text(json.dumps({"about": about, "controls": controls, "versions": versions()}, indent=1), "utf-8")
    return dict(controls)


def main() -> None:
    """Run; write JSON; print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--bars", type=int, default=4)
    parser.add_argument("--only", default="", help="controls, with commas; else all")
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    model = load_model(options.model)
    met: dict[str, list[bool]] = {}
    controls: dict[str, Any] = {}
    for number, (_, seed, _, _) in enumerate(seeds_of(options.corpus, model, options.n, options.bars)):
        for name, (asked, check) in asks(seed, np.random.default_rng([number, 5])).items():
            if options.only and name not in options.only.split(","):
                continue
            wanted = dict(asked)
            if "seconds" not in wanted:
                wanted.setdefault("bars", options.bars)
            piece = None if "new" in wanted else seed
            (one,) = compose(piece, model=model, random_seed=number, **wanted)
            met.setdefault(name, []).append(bool(check(seed, one, asked, options.bars, model)))
        controls = keep(options.out, options, met)
        print(number + 1, {name: f"{sum(hits)}/{len(hits)}" for name, hits in met.items()}, flush=True)
    for name, row in controls.items():
        share = row["met"] / row["runs"]
        print(f"{name:12}{row['met']:5} of {row['runs']}  {share:.1%}{'' if share >= 0.95 else '  (not advertised)'}")


if __name__ == "__main__":
    main()
