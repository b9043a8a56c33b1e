"""From rows to a report: means with their intervals, figures of whole sets, paired tests, examples to look at.

A report is a function of the rows of a folder, and says nothing of how or when they came about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cadenza.app.evaluation import folder
from cadenza.base.errors import CadenzaError
from cadenza.base.run import versions
from cadenza.corpus.store import load_pieces
from cadenza.infer import evaluate
from cadenza.metrics import statistics
from cadenza.metrics.base import METRICS, Column, Metric, columns
from cadenza.score.model import Score

if TYPE_CHECKING:
    from cadenza.app.evaluation.generation import GenerationConfig

N_FLIPS = 100_000  # smallest p that a corrected table of a few thousand tests can still show
N_EXAMPLES = 3
REPETITION = ("repetition", "repetition-tokens")


def generation(config: GenerationConfig, out: Path) -> dict[str, Any]:
    """The report of a finished generation run."""
    rows, asked = folder.rows(out), folder.read_json(out / "seeds.json")
    declared = {name: column for name, (_, column) in columns().items()}
    systems = [name for name in config.systems if any(name in row["systems"] for row in rows)]
    table = {name: matrix([row["systems"].get(name, {}).get("columns", {}) for row in rows]) for name in systems}
    known = [name for name in declared if any(name in found for found in table.values())]
    report: dict[str, Any] = {
        "kind": "generation",
        "config": folder.read_json(out / folder.CONFIG)["config"],
        "versions": versions(),
        **{key: value for key, value in asked.items() if key != "seeds"},
        "n_seeds": len(rows),
        "sources": _counted(seed["source"] for seed in asked["seeds"]),
        "columns": {name: described(*columns()[name]) for name in known},
        "systems": {
            name: {
                "columns": means(table[name], config.resamples),
                "notes": sum(row["systems"][name]["n_notes"] for row in rows),
                "tokens": sum(row["systems"][name]["n_tokens"] for row in rows),
                "refused": _counted(r for row in rows if (r := row["systems"][name]["refused"])),
            }
            for name in systems
        },
    }
    scores = _scores(out, systems)
    sets, notes = _set_metrics(config, systems, scores, out)
    report["notes"] = [*report["notes"], *notes]
    report["sets"] = sets
    report["columns"] |= {
        name: described(*columns()[name]) for name in dict.fromkeys(c for found in sets.values() for c in found)
    }
    report["ratios"] = _ratios(table, declared, systems, config.resamples)
    report["likelihood"] = _likelihood(config, out, rows, asked)
    report["paired"] = _paired(table, known, _pairs(systems, config), config.resamples)
    report["examples"] = _examples(rows, table, systems, config)
    return report


def described(metric: Metric, column: Column) -> dict[str, Any]:
    return {
        "metric": metric.name, "low": _finite(column.low), "high": _finite(column.high), "better": column.better,
        "unit": column.unit, "summary": column.summary, "source": metric.source, "needs": metric.needs,
    }  # fmt: skip


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _counted(words: Any) -> dict[str, int]:
    out: dict[str, int] = {}
    for word in words:
        out[word] = out.get(word, 0) + 1
    return dict(sorted(out.items()))


Table = dict[str, NDArray[np.float64]]


def matrix(found: Sequence[Mapping[str, float]]) -> Table:
    """Column → shape (n_pieces,), nan where a piece lacks it."""
    names = dict.fromkeys(name for row in found for name in row)
    return {name: np.array([row.get(name, math.nan) for row in found]) for name in names}


def interval(values: NDArray[np.float64], resamples: int, *more: NDArray[np.float64], **options: Any) -> dict[str, Any]:
    """A bootstrap interval as plain values; bounds are None where there are none."""
    found = statistics.bootstrap(values, *more, n_resamples=resamples, **options).record()
    return {key: _finite(value) for key, value in found.items()} | {"n": len(values)}


def means(table: Table, resamples: int) -> dict[str, Any]:
    return {
        name: interval(values[~np.isnan(values)], resamples)
        for name, values in table.items()
        if not np.isnan(values).all()
    }


def _scores(out: Path, systems: Sequence[str]) -> dict[str, dict[int, Score]]:
    """System → number of the seed → its bars."""
    found: dict[str, dict[int, Score]] = {name: {} for name in systems}
    for path in sorted((out / "pieces").glob("*.npz")):
        for piece in load_pieces(path):
            if piece.work_id in found:
                found[piece.work_id][int(path.stem)] = piece.score
    return found


def _set_metrics(
    config: GenerationConfig, systems: Sequence[str], scores: Mapping[str, Mapping[int, Score]], out: Path
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Figures of whole sets against the human continuations; the human's own stand for the given bars of the seeds."""
    metrics = evaluate.chosen_metrics(config.metrics, ("set",))
    if not metrics and not config.frechet:
        return {}, []
    from cadenza.app.evaluation.generation import loaded

    seeds, _, _ = loaded(out)
    human = [seed.human for seed in seeds]
    sets: dict[str, dict[str, float]] = {}
    for system in systems:
        est = [seed.given for seed in seeds] if system == evaluate.HUMAN else list(scores[system].values())
        if est:
            sets[system] = {}
            for metric in metrics:
                sets[system] |= metric(ref=human, est=est)
    said = ["Figures of sets compare with the human continuations; those in the human's row are of the given bars."]
    if config.frechet:
        given = [seed.given for seed in seeds]
        parts = {system: given if system == evaluate.HUMAN else list(scores[system].values()) for system in sets}
        said += _frechet(config.frechet, sets, human, parts)
    return sets, said


def _frechet(
    model: str, sets: dict[str, dict[str, float]], human: Sequence[Score], parts: Mapping[str, Sequence[Score]]
) -> list[str]:
    """Add to ``sets`` the Fréchet distance of each system's ``parts`` to the human ones; what is to be said of it."""
    from cadenza.infer.embedding import Embedding
    from cadenza.infer.model import load_model

    embed = Embedding(load_model(model))

    def vectors(given: Sequence[Score]) -> list[NDArray[np.float64]]:
        found = []
        for score in given:
            with suppress(CadenzaError):
                found.append(embed(score))
        return found

    metric = METRICS.load("frechet")
    ref = vectors(human)
    left_out = len(human) - len(ref)
    for system in sets:
        est = vectors(parts[system])
        left_out += len(parts[system]) - len(est)
        sets[system] |= metric(ref=ref, est=est, embed=lambda vector: vector)
    halves = metric(ref=ref[::2], est=ref[1::2], embed=lambda vector: vector)
    told = ", ".join(f"{value:.3g}" for value in halves.values()) or "none"
    return [
        f"Fréchet distances are of mean hidden states of the model {model}; between two halves of the human "
        f"continuations: {told} (of half as many pieces, so too large). {left_out} pieces have no vector."
    ]


def _ratios(table: Mapping[str, Table], declared: Mapping[str, Column], systems: Sequence[str], resamples: int) -> Any:
    """Repetition against the held-out music's own, as a ratio of means over the pieces that have both."""
    if evaluate.HUMAN not in systems:
        return {}
    names = [column.name for name in REPETITION if name in METRICS.names() for column in METRICS.load(name).columns]
    human, out = table[evaluate.HUMAN], {}
    for system in systems:
        found = {}
        for name in names:
            if name in human and name in table[system] and system != evaluate.HUMAN:
                a, b = table[system][name], human[name]
                both = ~(np.isnan(a) | np.isnan(b))
                if both.any() and b[both].sum() > 0:
                    found[name] = interval(a[both], resamples, b[both], statistic=statistics.ratio)
        if found:
            out[system] = found
    return out


# ── likelihood ───────────────────────────────────────────────────────────────────────────────────────────


def _likelihood(config: GenerationConfig, out: Path, rows: Sequence[Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """Bits per note, bar and second of the model and of what counts and copies, on the same texts."""
    told = [row for row in rows if "bits" in row.get("likelihood", {})]
    if not told:
        return {}
    path = out / "likelihood.json"
    baseline = folder.read_json(path) if path.exists() else {}
    bits = {"model": np.array([row["likelihood"]["bits"] for row in told])}
    if baseline:
        for name, label in (("n-gram", "n-gram"), ("copy", "copying + n-gram")):
            bits[label] = np.array([baseline["bits"][str(row["index"])][name] for row in told])
    counts = {
        unit: np.array([row["likelihood"][key] for row in told], float)
        for unit, key in (("note", "n_notes"), ("bar", "n_bars"), ("second", "seconds"), ("token", "n_tokens"))
    }
    found = {
        system: {
            f"bits_per_{unit}": interval(values, config.resamples, count, statistic=statistics.ratio)
            for unit, count in counts.items()
        }
        for system, values in bits.items()
    }
    gains = {
        f"model against {name}": interval(
            bits["model"], config.resamples, values, statistic=lambda a, b, axis: 1 - statistics.ratio(a, b, axis)
        )
        for name, values in bits.items()
        if name != "model"
    }
    return {
        "systems": found,
        "fewer_bits": gains,
        "window_tokens": asked["window_tokens"],
        "stride_tokens": asked["stride_tokens"],
        "texts_sha256": asked["texts_sha256"],
        "n_texts": len(told),
        "n_refused": sum("refused" in row.get("likelihood", {}) for row in rows),
        "n_notes": int(counts["note"].sum()),
        "n_gram": {key: baseline[key] for key in ("smoothing", "order")} if baseline else {},
    }


# ── paired tests ─────────────────────────────────────────────────────────────────────────────────────────


def _pairs(systems: Sequence[str], config: GenerationConfig) -> list[tuple[str, str]]:
    """Everybody against the human, and the model's decodings against each other."""
    against = [(name, evaluate.HUMAN) for name in systems if name != evaluate.HUMAN and evaluate.HUMAN in systems]
    own = [name for name in systems if name in config.decodings]
    return against + [(a, b) for i, a in enumerate(own) for b in own[i + 1 :]]


def _paired(table: Mapping[str, Table], known: Sequence[str], pairs: Sequence[tuple[str, str]], resamples: int) -> Any:
    """Differences on the same seeds, with p values corrected over the whole table."""
    found: list[dict[str, Any]] = []
    for a, b in pairs:
        names = [name for name in known if name in table[a] and name in table[b]]
        if not names:
            continue
        differences = np.stack([table[a][name] - table[b][name] for name in names], axis=1)
        p = statistics.sign_flip(np.nan_to_num(differences), n_resamples=N_FLIPS)
        for name, column, value in zip(names, differences.T, p, strict=True):
            mine = column[~np.isnan(column)]
            if len(mine) < 2:
                continue
            found.append({
                "a": a, "b": b, "column": name, "difference": interval(mine, resamples), "p": float(value),
                "effect": _finite(statistics.standardised(mine)), "detectable": _finite(statistics.detectable(mine)),
            })  # fmt: skip
    if found:
        p_values = [one["p"] for one in found]
        for one, holm, bh in zip(
            found, statistics.holm(p_values), statistics.benjamini_hochberg(p_values), strict=True
        ):
            one |= {"p_holm": float(holm), "q": float(bh)}
    return found


# ── examples ─────────────────────────────────────────────────────────────────────────────────────────────


def _examples(rows: Sequence[Any], table: Mapping[str, Table], systems: Sequence[str], config: GenerationConfig) -> Any:
    """The seeds whose continuation lies nearest to, and farthest from, human music, under the first decoding."""
    own = [name for name in config.decodings if name in systems]
    if not own or evaluate.HUMAN not in systems:
        return {}
    centre, spread = {}, {}
    for name, values in table[evaluate.HUMAN].items():
        if not np.isnan(values).all():
            centre[name], spread[name] = float(np.nanmean(values)), float(np.nanstd(values))
    far = [
        (evaluate.distances(row["systems"][own[0]]["columns"], centre, spread), row["index"])
        for row in rows
        if row["systems"][own[0]]["n_notes"]
    ]
    far.sort()
    best = far[:N_EXAMPLES]
    worst = far[::-1][: min(N_EXAMPLES, len(far) - len(best))]
    said = {row["index"]: row["name"] for row in rows}
    return {
        "system": own[0],
        "best": [{"index": index, "name": said[index], "distance": round(value, 6)} for value, index in best],
        "worst": [{"index": index, "name": said[index], "distance": round(value, 6)} for value, index in worst],
    }
