"""``cadenza evaluate generation|transcription|files|listen``: reports on what models make."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import typer

from cadenza.app.cli.bars import Bars

app = typer.Typer(
    help="Measure what a model composes or transcribes; compare files; listen blindly.", no_args_is_help=True
)

_OUT = typer.Option(..., "-o", "--out", help="Folder of the run; starting again goes on where it was.")
_CONFIG = typer.Option(None, "--config", help="A saved configuration (config.json of a run, or YAML).")
_SETTINGS = typer.Option([], "--set", help="key=value over the configuration; may be given again.")
_WORKERS = typer.Option(0, "--workers", min=0, help="Processes. Default: one a core.")
_SECONDS = typer.Option(900.0, "--seconds", min=1.0, help="The longest time for one piece.")


@app.command("generation")
def generation(
    out: Path = _OUT,
    corpus: str = typer.Option("", "--corpus", help="Held-out music: a corpus, or a folder of files."),
    model: str = typer.Option(
        "", "--model", help="A model folder or hub id. Default: the one that comes with cadenza."
    ),
    decoding: list[str] = typer.Option(
        [], "--decoding", help='default, greedy, T=1, "top-p 0.9", or temperature=0.9,top_p=0.95; may be given again.'
    ),
    seeds: int = typer.Option(0, "--seeds", min=0, help="Passages to continue. Default: 60."),
    config: Path | None = _CONFIG,
    settings: list[str] = _SETTINGS,
    workers: int = _WORKERS,
    seconds: float = _SECONDS,
    again: bool = typer.Option(False, "--measure-again", help="Measure anew what is composed already."),
) -> None:
    """Continue held-out pieces under each decoding; measure them beside human music, n-grams, copying and chance."""
    from cadenza.app.evaluation import folder
    from cadenza.app.evaluation.generation import GenerationConfig, run

    values: dict[str, Any] = {}
    if corpus:
        values["corpus"] = corpus
    if model:
        values["model"] = model
    if decoding:
        values["decodings"] = decoding
    if seeds:
        values["n_seeds"] = seeds
    chosen = _configured(GenerationConfig, "generation", config, values, settings)
    with Bars() as say:
        report = run(chosen, out, n_workers=workers or os.cpu_count() or 1, limit_seconds=seconds, say=say, again=again)
    for line in _generation_lines(report):
        typer.echo(line)
    typer.echo(f"{out / folder.PAGE}")


@app.command("transcription")
def transcription(
    out: Path = _OUT,
    ref: str = typer.Option("", "--ref", help="Folder of references: MIDI, MusicXML, ABC, JAMS, CSV, …"),
    est: str = typer.Option("", "--est", help="Folder of answers, paired by name; with --model, of recordings."),
    model: str = typer.Option(
        "", "--model", help="Hear the recordings: shipped, an ear's folder, or naive, basic-pitch …"
    ),
    name: str = typer.Option("", "--name", help="What made the answers, for the leaderboard."),
    config: Path | None = _CONFIG,
    settings: list[str] = _SETTINGS,
    workers: int = _WORKERS,
    seconds: float = _SECONDS,
) -> None:
    """Measure transcriptions against references: in seconds by mir_eval, and as scores in beats."""
    from cadenza.app.evaluation import folder
    from cadenza.app.evaluation.pairs import PairsConfig, run

    values = {key: value for key, value in (("ref", ref), ("est", est), ("model", model), ("name", name)) if value}
    chosen = _configured(PairsConfig, "transcription", config, values, settings)
    with Bars() as say:
        report = run(chosen, out, n_workers=workers or os.cpu_count() or 1, limit_seconds=seconds, say=say)
    for line in _pair_lines(report):
        typer.echo(line)
    typer.echo(f"{out / folder.PAGE}")


@app.command("files")
def files(
    ref: Path = typer.Argument(..., metavar="REF", help="The reference."),
    est: Path = typer.Argument(..., metavar="EST", help="What is judged."),
    out: Path | None = typer.Option(None, "-o", "--out", help="Also write a report in this folder."),
    metric: list[str] = typer.Option([], "--metric", help="Only these metrics; may be given again."),
    as_json: bool = typer.Option(False, "--json", help="Machine-readable."),
) -> None:
    """Measure one file against another, of any formats."""
    import json

    from cadenza.app.evaluation import folder, pairs
    from cadenza.app.evaluation.page import number
    from cadenza.base.errors import ConfigError

    for path in (ref, est):
        if not path.is_file():
            raise ConfigError("a file", "none there", where=str(path))
    config = pairs.PairsConfig(str(ref), str(est), metrics=metric)
    if out is not None:
        pairs.run(config, out, n_workers=1, limit_seconds=900.0, say=lambda stage, done, total: None)
    row = pairs.one(ref, est, tuple(metric))
    if as_json:
        typer.echo(json.dumps({key: row[key] for key in ("ref", "est", "n_ref", "n_est", "columns")}, indent=1))
    else:
        typer.echo(f"{ref.name}: {row['n_ref']:,} notes; {est.name}: {row['n_est']:,} notes")
        for name, value in row["columns"].items():
            typer.echo(f"  {name:<20} {number(value):>8}")
    if out is not None and not as_json:
        typer.echo(f"{out / folder.PAGE}")


@app.command("listen")
def listen(
    run: Path | None = typer.Argument(None, metavar="RUN", help="Folder of a finished evaluate generation."),
    out: Path | None = typer.Option(None, "-o", "--out", help="Page to write, FILE.html."),
    system: str = typer.Option("", "--system", help="Whose continuations. Default: the run's first decoding."),
    n: int = typer.Option(12, "-n", min=1, help="Trials."),
    task: str = typer.Option("human", "--task", help="human: which is the human's? abx: which of the two is X?"),
    seed: int = typer.Option(0, "--seed", min=0, help="Which seeds, and in which order."),
    results: Path | None = typer.Option(None, "--results", help="Judge a CSV that a page has given; exact test."),
) -> None:
    """Make a blind listening page of model against human continuations, or judge its results."""
    from cadenza.app.evaluation import listen as listening
    from cadenza.app.evaluation.page import number
    from cadenza.base.errors import ConfigError
    from cadenza.base.files import make_folder_for, write_atomically

    if results is not None:
        for one in listening.judged(results)["tests"]:
            share = one["share"]
            typer.echo(
                f"{one['task']}, {one['system']}: {one['right']} of {one['n']} right, {share['value']:.0%} "
                f"({share['low']:.0%} … {share['high']:.0%}), p = {number(one['p'])} against one half"
            )
        return
    if run is None or out is None:
        hint = "cadenza evaluate listen RUN -o PAGE.html"
        raise ConfigError("a run and a page to write, or --results", "neither", hint=hint)
    with Bars() as say:
        text = listening.build(run, system, n=n, task=task, seed=seed, say=say)
    make_folder_for(out)
    write_atomically(out, text.encode())
    typer.echo(f"{out}: open it in a browser")


def _pair_lines(report: dict[str, Any]) -> list[str]:
    from cadenza.app.evaluation.page import between, number

    lines = [f"{report['system']}: {report['n_pairs']} pairs, {len(report['problems'])} with problems"]
    if report["repeats_played"]:
        lines.append(f"  repeats of {len(report['repeats_played'])} references written out, as their answers play them")
    for name, found in report["figures"].items():
        lines.append(f"  {name:<20} {number(found['value']):>8}  ({between(found)})  {found['n']} pieces")
    return lines


def _generation_lines(report: dict[str, Any]) -> list[str]:
    from cadenza.app.evaluation.page import between, number

    out = [f"{report['model']['name']}: {report['n_seeds']} seeds of {report['config']['split']}"]
    for name, found in (report["likelihood"] or {"systems": {}})["systems"].items():
        bits = found["bits_per_note"]
        out.append(f"  {name}: {number(bits['value'])} bits a note ({between(bits)})")
    for name, one in report["systems"].items():
        loops = one["columns"].get("ends_in_loop")
        ends = f", {loops['value']:.1%} end in a loop" if loops else ""
        refused = sum(one["refused"].values())
        out.append(f"  {name}: {one['notes']:,} notes{ends}" + (f", {refused} seeds refused" if refused else ""))
    n_different = sum(one["p_holm"] < 0.05 for one in report["paired"])
    out.append(f"  {n_different} of {len(report['paired'])} paired tests differ after correction")
    return out


def _configured(kind: Any, name: str, file: Path | None, values: dict[str, Any], settings: list[str]) -> Any:
    """Defaults < saved configuration < options < ``--set``."""
    import yaml

    from cadenza.base.config import build_config, read_yaml
    from cadenza.base.errors import ConfigError

    found: dict[str, Any] = {}
    if file is not None:
        found = read_yaml(file)
        found = dict(found.get("config", found))
        if found.pop("kind", name) != name:
            raise ConfigError(f"a configuration of evaluate {name}", "one of another verb", where=str(file))
    found |= values
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError("key=value after --set", repr(setting))
        try:
            found[key] = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError("a YAML value", str(error).partition("\n")[0], where=f"--set {key}") from None
    return build_config(kind, found, "configuration")
