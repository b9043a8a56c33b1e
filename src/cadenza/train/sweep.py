"""Many short runs of one recipe, to find its better settings: Optuna over a space of axes, by bits per note.

A *space* is YAML: key of the recipe → list of values (one is chosen), or ``{low: …, high: …, log: true, step: …}``. The
shipped space holds the axes that the published experiment swept. Each trial is a run of its own below the sweep's
folder; its held-out bits per note are told to Optuna at every evaluation, and a trial that lags is ended (pruned).

The study lies in ``study.db`` (SQLite): a sweep that was killed goes on; the trial it was killed in is begun again from
its last checkpoint. At the end stand ``best.yaml`` (a recipe that ``cadenza train`` runs), ``index.html`` (curves,
importances by fANOVA, the table of trials) and ``trials.json``.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

import yaml

from cadenza.base.config import build_config, read_yaml
from cadenza.base.errors import CadenzaError, ConfigError, MissingExtraError, ModelError, did_you_mean
from cadenza.base.files import write_atomically
from cadenza.train import curves
from cadenza.train.recipe import TrainConfig

PRUNERS = ("median", "hyperband", "none")
SAMPLERS = ("tpe", "random")
STUDY, BEST, PAGE, TRIALS = "study.db", "best.yaml", "index.html", "trials.json"
RECIPE = "sweep.json"
Say = Callable[[str], None]


@dataclass(frozen=True)
class Axis:
    """One key of the recipe and what it may be.

    Args:
        key: "learning_rate", "lora.rank" …
        choices: values, or () for a range.
        low, high: of a range.
        log: equal ratios instead of equal distances.
        step: 0: any number.
        whole: integers.
    """

    key: str
    choices: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    step: float = 0.0
    whole: bool = False

    @classmethod
    def read(cls, key: str, said: Any) -> Axis:
        """From YAML.

        Raises:
            ConfigError: neither a list nor a range.
        """
        where = f"space {key}"
        if isinstance(said, list) and said:
            return cls(key, tuple(said))
        wanted = "a list of values, or low and high (with log or step)"
        words = set(said) if isinstance(said, Mapping) else set()
        if not {"low", "high"} <= words <= {"low", "high", "log", "step"}:
            raise ConfigError(wanted, repr(said), where=where)
        low, high, log, step = said["low"], said["high"], bool(said.get("log", False)), said.get("step", 0)
        numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (low, high, step))
        if not numbers or low >= high or (log and (low <= 0 or step)):
            wanted += "; low below high; above 0 and without a step where log"
            raise ConfigError(wanted, repr(said), where=where)
        return cls(key, (), low, high, log, step, isinstance(low, int) and isinstance(high, int))

    def draw(self, trial: Any) -> Any:
        """A value of a trial."""
        if self.choices:
            # Optuna stores choices as plain values: a list is told by its place.
            return self.choices[trial.suggest_categorical(self.key, list(range(len(self.choices))))]
        if self.whole:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log, step=int(self.step) or 1)
        return trial.suggest_float(self.key, self.low, self.high, log=self.log, step=self.step or None)

    def said(self, value: Any) -> Any:
        """What Optuna keeps → the recipe's value."""
        return self.choices[int(value)] if self.choices else value


def read_space(path: Path) -> list[Axis]:
    """The axes of a space.

    Raises:
        ConfigError: no such file, a key that the recipe does not have, a value that is none.
    """
    return [Axis.read(key, said) for key, said in read_yaml(path).items()]


def fitted(config: TrainConfig, axes: list[Axis]) -> list[Axis]:
    """The axes that a recipe has: those of adapters only with adapters. All are checked, value by value.

    Raises:
        ConfigError: a key or value that the recipe does not take; nothing is left.
    """
    known = asdict(config)
    kept = []
    for axis in axes:
        top, _, inner = axis.key.partition(".")
        part = known.get(top)
        if top not in known or (inner and (not isinstance(part, dict) or inner not in part)):
            names = [*known, *(f"{a}.{b}" for a, values in known.items() if isinstance(values, dict) for b in values)]
            raise ConfigError("a key of the recipe", axis.key, where="space", hint=did_you_mean(axis.key, names))
        if top == "lora" and config.method == "full":
            continue
        for value in axis.choices or (axis.low, axis.high):
            changed(config, {axis.key: value})
        kept.append(axis)
    if not kept:
        raise ConfigError("a space with axes of this recipe", "none", where="space")
    return kept


def changed(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """A recipe with other values.

    Raises:
        ConfigError: one does not fit.
    """
    plain = json.loads(json.dumps(asdict(config)))
    for key, value in values.items():
        place, *inner = key.split(".")
        if inner:
            plain[place] = plain[place] | {inner[0]: value}
        else:
            plain[place] = value
    return build_config(TrainConfig, plain, "recipe of a trial")


def sweep(
    config: TrainConfig,
    axes: list[Axis],
    out: Path,
    *,
    n_trials: int,
    pruner: str = "median",
    sampler: str = "tpe",
    keep: bool = False,
    say: Say = print,
    live: Callable[[int, int, str], None] | None = None,
) -> Path:
    """Run trials until ``n_trials`` are done; returns the best recipe's file.

    Args:
        pruner: "median": a trial worse than the median of those before it at the same step ends; "hyperband": many
            short trials, the better ones go on; "none".
        sampler: "tpe" learns from the trials before; "random".
        keep: also keep the weights of trials that are not the best.

    Raises:
        ConfigError: the folder holds another sweep, or the recipe cannot be swept.
        MissingExtraError: optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna, which sweeps", "not installed", hint="pip install 'cadenza[train]'") from None

    if not config.evaluate_every:
        hint = "Trials are compared, and pruned, by held-out bits per note."
        raise ConfigError("evaluate_every above 0", "0", where="recipe evaluate_every", hint=hint)
    axes = fitted(config, axes)
    out.mkdir(parents=True, exist_ok=True)
    _same(config, axes, out)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{out / STUDY}",
        study_name="sweep",
        load_if_exists=True,
        direction="minimize",
        sampler=_sampler(optuna, sampler, config.seed, out),
        pruner=_pruner(optuna, pruner, config),
    )
    _take_up(optuna, study, say)
    done = (optuna.trial.TrialState.COMPLETE, optuna.trial.TrialState.PRUNED, optuna.trial.TrialState.FAIL)
    while sum(trial.state in done and not _retried(trial) for trial in study.trials) < n_trials:
        trial = study.ask()
        _run(optuna, study, trial, config, axes, out, say, live)
        _let_go(optuna, study, out, keep)
        write(optuna, study, config, axes, out)
    if not _complete(optuna, study):
        failed = next((t.user_attrs.get("said") for t in reversed(study.trials) if t.user_attrs.get("said")), "pruned")
        raise ModelError("a trial that ends", f"none of {len(study.trials)}: {failed}", where=str(out))
    return write(optuna, study, config, axes, out)


def _same(config: TrainConfig, axes: list[Axis], out: Path) -> None:
    now = json.loads(json.dumps({"recipe": asdict(config), "space": [asdict(axis) for axis in axes]}))
    path = out / RECIPE
    if path.is_file():
        was = json.loads(path.read_text("utf-8"))
        if was != now:
            what = [key for key in now["recipe"] if was["recipe"].get(key) != now["recipe"][key]]
            what += ["space"] if was["space"] != now["space"] else []
            raise ConfigError("the sweep that this folder began with", f"another {', '.join(what)}", where=str(path))
        return
    write_atomically(path, json.dumps(now, indent=1).encode())


def _sampler(optuna: Any, name: str, seed: int, out: Path) -> Any:
    if name not in SAMPLERS:
        raise ConfigError(f"a sampler of {', '.join(SAMPLERS)}", repr(name), hint=did_you_mean(name, SAMPLERS))
    # A sweep that goes on draws anew: the same seed would give the trials that it has already.
    begun = len(list(out.glob("trial-*")))
    kind = {"tpe": optuna.samplers.TPESampler, "random": optuna.samplers.RandomSampler}[name]
    return kind(seed=seed + 1009 * begun)


def _pruner(optuna: Any, name: str, config: TrainConfig) -> Any:
    if name not in PRUNERS:
        raise ConfigError(f"a pruner of {', '.join(PRUNERS)}", repr(name), hint=did_you_mean(name, PRUNERS))
    if name == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=config.evaluate_every)
    if name == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=config.evaluate_every, max_resource="auto")
    return optuna.pruners.NopPruner()


def _take_up(optuna: Any, study: Any, say: Say) -> None:
    """Trials that a killed sweep left running are begun again with the same values, in the same folder."""
    for trial in study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        folder = trial.user_attrs.get("folder", trial.number)
        study.enqueue_trial(trial.params, user_attrs={"folder": folder})
        say(f"trial {folder} goes on")


def _retried(trial: Any) -> bool:
    """Left by a killed sweep and begun again: it does not count."""
    return bool(trial.state.name == "FAIL" and "said" not in trial.user_attrs)


def _complete(optuna: Any, study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.state == optuna.trial.TrialState.COMPLETE]


def _run(
    optuna: Any,
    study: Any,
    trial: Any,
    config: TrainConfig,
    axes: list[Axis],
    out: Path,
    say: Say,
    live: Callable[[int, int, str], None] | None,
) -> None:
    from cadenza.train import run

    values = {axis.key: axis.draw(trial) for axis in axes}
    number = trial.user_attrs.get("folder", trial.number)
    trial.set_user_attr("folder", number)
    folder = out / f"trial-{number:04d}"
    say(f"trial {number}: {', '.join(f'{key} {shown(value)}' for key, value in values.items())}")
    last: list[float] = []
    told: set[int] = set()

    def tell(step: int, bits: float) -> None:
        last.append(bits)
        if step not in told:
            trial.report(bits, step)
            told.add(step)

    def watch(step: int, bits: float) -> None:
        tell(step, bits)
        n_steps = int(json.loads((folder / "run.json").read_text("utf-8"))["n_steps"])
        if step < n_steps and trial.should_prune():
            raise optuna.TrialPruned

    for step, bits in evaluations(folder):  # of a run that goes on
        tell(step, bits)

    state = optuna.trial.TrialState
    try:
        run.train(changed(config, values), folder, _silent, live, watch)
    except optuna.TrialPruned:
        study.tell(trial, state=state.PRUNED)
        say(f"trial {number}: pruned at {last[-1]:.3f} bits per note")
    except CadenzaError as error:  # a rate at which the loss diverges, a combination that cannot be
        trial.set_user_attr("said", str(error)[:500])
        study.tell(trial, state=state.FAIL)
        say(f"trial {number}: {error}")
    else:
        if not last:
            trial.set_user_attr("said", "no held-out documents to compare by")
            study.tell(trial, state=state.FAIL)
            return
        study.tell(trial, last[-1])
        say(f"trial {number}: {last[-1]:.3f} bits per note")


def evaluations(folder: Path) -> list[tuple[int, float]]:
    """(step, bits per note) that a run has logged."""
    path = folder / "log.jsonl"
    rows = [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []
    return [(int(row["step"]), float(row["eval_bits_per_note"])) for row in rows if "eval_bits_per_note" in row]


def _silent(line: str) -> None:
    del line


def _let_go(optuna: Any, study: Any, out: Path, keep: bool) -> None:
    """Remove checkpoints of trials that are over, and weights of all but the best; their logs stay."""
    complete = _complete(optuna, study)
    best = study.best_trial.user_attrs["folder"] if complete else None
    for trial in study.trials:
        if not trial.state.is_finished() or "folder" not in trial.user_attrs:
            continue
        folder = out / f"trial-{trial.user_attrs['folder']:04d}"
        for path in folder.glob("checkpoint-*"):
            shutil.rmtree(path, ignore_errors=True)
        if not keep and trial.user_attrs["folder"] != best:
            for name in ("model", "adapter"):
                shutil.rmtree(folder / name, ignore_errors=True)


def write(optuna: Any, study: Any, config: TrainConfig, axes: list[Axis], out: Path) -> Path:
    """The best recipe, the page and the table; returns the recipe's file (there once a trial is complete)."""
    by_key = {axis.key: axis for axis in axes}
    rows = []
    for trial in study.trials:
        if not trial.state.is_finished() or _retried(trial):
            continue
        rows.append(
            {
                "trial": trial.user_attrs.get("folder", trial.number),
                "state": trial.state.name.lower(),
                "bits_per_note": trial.value,
                "values": {key: by_key[key].said(value) for key, value in trial.params.items() if key in by_key},
                "curve": sorted(trial.intermediate_values.items()),
                "said": trial.user_attrs.get("said", ""),
            }
        )
    complete = [row for row in rows if row["state"] == "complete"]
    best = min(complete, key=lambda row: row["bits_per_note"], default=None)
    weights = importances(optuna, study)
    found = {"best": best, "importances": weights, "trials": rows}
    write_atomically(out / TRIALS, json.dumps(found, indent=1).encode())
    write_atomically(out / PAGE, page(found).encode())
    if best is not None:
        chosen = changed(config, best["values"])
        plain = json.loads(json.dumps(asdict(chosen)))
        default = json.loads(json.dumps(asdict(TrainConfig())))
        kept = {key: value for key, value in plain.items() if value != default[key] or key in best["values"]}
        said = f"{best['bits_per_note']:.4f} held-out bits per note"
        head = f"# Trial {best['trial']} of a sweep of {len(rows)}: {said}.\n"
        write_atomically(out / BEST, (head + yaml.safe_dump(kept, sort_keys=False, allow_unicode=True)).encode())
    return out / BEST


def importances(optuna: Any, study: Any) -> dict[str, float]:
    """Share of the variance of bits per note that each axis explains (fANOVA, Hutter et al. 2014); {} for few trials.

    Trials that were ended early count with their last figure: without them only good values would be left to compare.
    """
    made = optuna.create_study(direction="minimize")
    for trial in study.trials:
        if trial.state.name in ("COMPLETE", "PRUNED") and trial.intermediate_values:
            value = trial.intermediate_values[max(trial.intermediate_values)]
            made.add_trial(
                optuna.trial.create_trial(params=trial.params, distributions=trial.distributions, value=value)
            )
    if len(made.trials) < 4:
        return {}
    with suppress(RuntimeError, ValueError):  # all trials alike
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=0)
        found = optuna.importance.get_param_importances(made, evaluator=evaluator)
        return {key: float(value) for key, value in found.items()}
    return {}


def page(found: Mapping[str, Any]) -> str:
    """The page of :func:`write`'s table."""
    rows, best = found["trials"], found["best"]
    names = [key for row in rows for key in row["values"]]
    keys = sorted(set(names), key=names.index)
    lines = {f"trial {row['trial']}": row["curve"] for row in rows}
    states = [row["state"] for row in rows]
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("complete", "pruned", "fail") if state in states)
    parts = [f"<p>{len(rows)} trials: {counts}.</p>"]
    if best is not None:
        said = ", ".join(f"{key} {shown(value)}" for key, value in best["values"].items())
        bits = f"<b>Best: {best['bits_per_note']:.3f} bits per note</b>"
        parts.append(f"<p>{bits} (trial {best['trial']}): {escape(said)}.</p>")
    drawn = [curves.figure("Bits per note", "held out, a line a trial", lines)]
    if found["importances"]:
        drawn.append(curves.bars("Importance", "share of the variance, fANOVA", found["importances"]))
    parts.append(f'<div class="plots">{"".join(drawn)}</div>')
    head = "".join(f"<th>{escape(name)}</th>" for name in ("trial", "bits per note", "state", *keys))
    body = []
    for row in sorted(rows, key=lambda row: (row["bits_per_note"] is None, row["bits_per_note"] or 0)):
        bits = "" if row["bits_per_note"] is None else f"{row['bits_per_note']:.4f}"
        state = row["state"] + (f": {row['said'][:60]}" if row["said"] else "")
        cells = [str(row["trial"]), bits, state, *(shown(row["values"].get(key, "")) for key in keys)]
        kind = ' class="best"' if best is not None and row["trial"] == best["trial"] else ""
        body.append(f"<tr{kind}>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>")
    parts.append(f'<div class="table"><table><tr>{head}</tr>{"".join(body)}</table></div>')
    return curves.document("Sweep", parts)


def shown(value: Any) -> str:
    """A value of an axis."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
