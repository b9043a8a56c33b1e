"""``cadenza corpus build|clips|embed|show|stats|check|card``: folders of music → training examples; a look inside."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import typer

from cadenza.app.cli.bars import Bars

app = typer.Typer(
    help="Build a corpus of training examples from folders of music, and look into it.", no_args_is_help=True
)

_FOLDER = typer.Argument(..., metavar="DIR", help="A built corpus.")


@app.command("build")
def build(
    sources: list[Path] = typer.Argument(..., metavar="SRC…", help="Folders of music: your own, or public datasets."),
    out: Path = typer.Option(..., "-o", "--out", help="Folder to build in; building again goes on where it was."),
    recipe: str = typer.Option(
        "", "--recipe", help="corpus.yaml, or the name of a shipped one: default, composer, bending-guitars, …"
    ),
    settings: list[str] = typer.Option([], "--set", help="key=value over the recipe; may be given again."),
    workers: int = typer.Option(0, "--workers", min=0, help="Processes. Default: one a core."),
    engine: str = typer.Option("processes", "--engine", help="processes, or ray (needs the extra cluster)."),
    address: str = typer.Option("", "--address", help="Of the Ray cluster; without it one is started here."),
    from_audio: bool = typer.Option(False, "--from-audio", help="Recordings too: the ear says their notes."),
    min_confidence: float = typer.Option(
        0.6, "--min-confidence", help="With --from-audio: mean onset probability that a recording's notes must have."
    ),
    ear: str = typer.Option("", "--ear", help="With --from-audio: folder of another ear than the shipped one."),
) -> None:
    """Read, select, deduplicate, split, augment, encode; writes Parquet shards, a manifest and rejected.csv."""
    from cadenza.app.listening import Hearing
    from cadenza.base import recipes
    from cadenza.base.config import load_config
    from cadenza.base.errors import ConfigError
    from cadenza.base.files import write_atomically
    from cadenza.corpus import card, engines, pipeline
    from cadenza.corpus.open import BuiltCorpus

    arguments = [str(recipes.find(recipe, "corpus"))] if recipe else []
    for setting in settings:
        arguments += ["--set", setting]
    config = load_config(pipeline.CorpusConfig, arguments)
    n_workers = workers or os.cpu_count() or 1
    if engine == "ray":
        runner: Any = engines.OnRay(address or None, n_workers)
    elif engine == "processes":
        runner = engines.Processes(n_workers)
    else:
        raise ConfigError("the engine processes or ray", repr(engine))
    listen = Hearing(ear, min_confidence) if from_audio else None
    with Bars() as say:
        manifest = pipeline.build(sources, out, config, runner, say, listen)
    write_atomically(out / "README.md", card.card(BuiltCorpus.open(out)).encode())
    for split, count in manifest["splits"].items():
        if count["examples"]:
            hours = count["seconds"] / 3600
            typer.echo(f"{split}: {count['examples']:,} examples, {count['notes']:,} notes, {hours:.2f} hours")
    left = ", ".join(f"{count:,} {kind}" for kind, count in manifest["rejected"].items())
    typer.echo(f"left out: {left or 'nothing'} ({out / 'rejected.csv'})")
    typer.echo(f"{out}: fingerprint {manifest['fingerprint'][:16]}")


@app.command("clips")
def clips(
    folder: Path = _FOLDER,
    out: Path = typer.Option(..., "-o", "--out", help="Folder of the clips; making them again goes on where it was."),
    train: int = typer.Option(8000, "--train", min=1, help="Clips to learn from."),
    held_out: int = typer.Option(
        300, "--held-out", min=1, help="Clips of validation works, and as many of test works."
    ),
    test_font: str = typer.Option("", "--test-font", help="Soundfont of the test clips, which training never hears."),
    settings: list[str] = typer.Option([], "--set", help="key=value of clips: seconds, bars, stem_share, soundfonts …"),
) -> None:
    """Play short passages of a corpus: sound with its ABC, for models that listen (recipes listen-…)."""
    from dataclasses import replace

    from cadenza.base.config import load_config
    from cadenza.corpus.clips import SAMPLE_RATE, ClipRecipe, build, pieces_of
    from cadenza.infer.held_out import open_music

    arguments = [word for setting in settings for word in ("--set", setting)]
    recipe = load_config(ClipRecipe, arguments)
    music = open_music(folder)
    for split, n in (("train", train), ("validation", held_out), ("test", held_out)):
        chosen = replace(recipe, soundfonts=[test_font]) if split == "test" and test_font else recipe
        with Bars() as say:
            store = build(
                pieces_of(music.some(split, max(n, 500))), n, split, out / split, chosen,
                lambda done, of, split=split: say(split, done, of),  # type: ignore[misc]
            )  # fmt: skip
        seconds = store.end / SAMPLE_RATE
        typer.echo(f"{split}: {len(store):,} clips, {seconds / 60:.1f} minutes, {len(set(store.works)):,} works")


@app.command("embed")
def embed(
    clips: Path = typer.Argument(..., metavar="CLIPS", help="A folder of corpus clips."),
    out: Path = typer.Option(..., "-o", "--out", help="Folder of the embeddings; a run that was stopped goes on."),
    tower: str = typer.Option("jukebox", "--tower", help="What hears: jukebox, whisper, ear or any other encoder."),
    source: str = typer.Option("", "--source", help="Folder or hub id, where the tower takes one."),
    per_second: float = typer.Option(10.0, "--per-second", min=0.1, help="Frames a second, means of what it says."),
) -> None:
    """Compute once what a tower says of all clips, for whoever trains without it (recipe listen, tower: shards)."""
    from cadenza.corpus.clips import ClipStore
    from cadenza.train.listening.towers import open_tower
    from cadenza.train.listening.towers.shards import write_shards

    stores = [ClipStore(path.parent) for path in sorted(clips.glob("**/clips.jsonl"))]
    if not stores:
        from cadenza.base.errors import FormatError

        raise FormatError("a folder of clips", "none", where=str(clips), hint="cadenza corpus clips makes them.")
    n = sum(map(len, stores))
    sounds = (store[number].samples for store in stores for number in range(len(store)))
    with Bars() as say:
        found = write_shards(out, sounds, open_tower(tower, source), per_second, lambda done: say("clips", done, n))
    typer.echo(f"{out}: {found:,} sounds")


@app.command("show")
def show(
    folder: Path = _FOLDER,
    n: int = typer.Option(3, "-n", min=1, help="Rows to show."),
    split: str = typer.Option("train", "--split", help="train, validation or test."),
    task: str = typer.Option("", "--task", help="Only rows of this task."),
    seed: int = typer.Option(0, "--seed", help="Which rows."),
    width: int = typer.Option(600, "--width", help="Characters of prompt and completion to show; 0 = all."),
    render: int = typer.Option(0, "--render", min=0, help="Also write so many of them as .mid and .wav."),
) -> None:
    """Show rows: what is given, and, marked, what is learned (the loss counts there only)."""
    import random

    from cadenza.base.errors import FormatError
    from cadenza.corpus.open import BuiltCorpus

    corpus = BuiltCorpus.open(folder)
    rows = [row for row in corpus.rows(split) if not task or row["task"] == task]
    if not rows:
        raise FormatError(
            f"rows of the split {split}" + (f" and the task {task}" if task else ""), "none", where=str(folder)
        )
    chosen = random.Random(seed).sample(rows, min(n, len(rows)))
    for row in chosen:
        where = f"{row['source']} · {row['path']} · bars {row['first_bar'] + 1}–{row['first_bar'] + row['n_bars']}"
        typer.secho(f"{row['task']} · {where} · {row['n_notes']} notes · edits {row['edits']}", bold=True)
        typer.echo(_short(row["prompt"], width, tail=True), nl=False)
        typer.secho(_short(row["completion"], width), fg="green", underline=True)
        typer.echo()
    for number, row in enumerate(chosen[:render], 1):
        for path in _render(corpus, row, folder / f"row-{number}"):
            typer.echo(f"{path}")


def _short(text: str, width: int, tail: bool = False) -> str:
    if not width or len(text) <= width:
        return text
    return "… " + text[-width:] if tail else text[:width] + " …"


def _render(corpus: Any, row: dict[str, Any], stem: Path) -> list[Path]:
    from cadenza import formats
    from cadenza.corpus.open import texts_of

    texts = texts_of(row, corpus.manifest["config"]["style"])
    score = corpus.notation.decode(texts[-1])
    paths = [stem.with_suffix(".mid"), stem.with_suffix(".wav")]
    for path in paths:
        formats.write(score, path)
    return paths


@app.command("stats")
def stats(
    folder: Path = _FOLDER,
    tokenizer: list[Path] = typer.Option(
        [], "--tokenizer", help="tokenizer.json to count with too (needs the extra train); may be given again."
    ),
    page: Path | None = typer.Option(None, "--page", help="Also write a page with plots, FILE.html."),
    as_json: bool = typer.Option(False, "--json", help="Machine-readable."),
) -> None:
    """Notes, hours, keys, metres, instruments, velocities, bends; tokens a note, seconds of music in 4,096 tokens."""
    from cadenza.base.files import write_atomically
    from cadenza.corpus import page as pages
    from cadenza.corpus.open import BuiltCorpus
    from cadenza.corpus.stats import CONTEXT_TOKENS, statistics

    corpus = BuiltCorpus.open(folder)
    found = statistics(corpus, {_tokenizer_name(path, tokenizer): _counter(path) for path in tokenizer})
    if page is not None:
        write_atomically(page, pages.page(found, corpus.manifest).encode())
    if as_json:
        typer.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    for split, values in found.pop("splits").items():
        typer.secho(split, bold=True)
        for name, value in values.items():
            typer.echo(f"  {name.replace('_', ' ')}: {value if value is None else format(value, ',')}")
    costs = found.pop("costs", [])
    for name, counts in found.items():
        typer.secho(name.replace("_", " "), bold=True)
        most = max(counts.values(), default=1)
        for key, count in list(counts.items())[:12]:
            typer.echo(f"  {key:>20} {count:9,} {'█' * max(1, round(40 * count / most))}")
    if costs:
        of = (
            f"{costs[0]['notes']:,} notes of {costs[0]['pieces']} pieces; {costs[0]['refused']} that a notation refuses"
        )
        typer.secho(f"tokens a note, seconds of music in {CONTEXT_TOKENS:,} tokens ({of})", bold=True)
        for row in costs:
            seconds = row[f"seconds_per_{CONTEXT_TOKENS}_tokens"]
            typer.echo(
                f"  {row['notation']:>16} {row['tokenizer']:>16} {row['tokens_per_note']:9.2f} {seconds:9,.1f} s"
            )
    if page is not None:
        typer.echo(f"{page}")


def _tokenizer_name(path: Path, among: list[Path]) -> str:
    """The folder of a ``tokenizer.json`` says more than its name; the path where two share it."""
    names = [one.parent.name if one.name == "tokenizer.json" and one.parent.name else one.stem for one in among]
    name = names[among.index(path)]
    return name if names.count(name) == 1 else str(path)


def _counter(path: Path) -> Any:
    from cadenza.base.errors import FormatError, MissingExtraError

    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError("tokenizers", "no such package", hint="pip install 'cadenza[train]'") from None
    try:
        known = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises bare Exception
        raise FormatError("a tokenizer.json", str(error)[:200], where=str(path)) from None
    return lambda text: len(known.encode(text).ids)


@app.command("check")
def check(folder: Path = _FOLDER) -> None:
    """Check hashes, splits and every row (it decodes, under the grammar). Exit status 1 where something is wrong."""
    from cadenza.corpus.open import BuiltCorpus

    corpus = BuiltCorpus.open(folder)
    wrong = corpus.check()
    for sentence in wrong:
        typer.echo(sentence)
    typer.echo(
        f"{len(wrong):,} faults" if wrong else f"{folder}: all of {len(corpus.manifest['shards'])} shards are sound"
    )
    if wrong:
        raise typer.Exit(1)


@app.command("card")
def card_(folder: Path = _FOLDER) -> None:
    """Print the corpus's card: sources, licences, attributions, configuration."""
    from cadenza.corpus.card import card
    from cadenza.corpus.open import BuiltCorpus

    typer.echo(card(BuiltCorpus.open(folder)), nl=False)
