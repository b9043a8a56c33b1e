"""``cadenza compose FILE -o OUT``: a musician's piece, continued, filled in, accompanied; or a new one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import typer


def compose(
    file: Path | None = typer.Argument(None, metavar="[FILE]", help="The piece; none with --new."),
    out: list[Path] = typer.Option(
        [], "-o", "--out", help="File to write; its suffix says the format. May be given again."
    ),
    continues: bool = typer.Option(False, "--continue", help="Go on after the last bar (what is done unless asked)."),
    infill: str = typer.Option("", "--infill", help="Write these bars anew, as in 5-8; all else stays note for note."),
    accompany: str = typer.Option("", "--accompany", help="Add a part: an instrument's name or program number."),
    new: bool = typer.Option(False, "--new", help="Begin a piece with the instruments of --tracks."),
    tracks: str = typer.Option(
        "", "--tracks", help="With --new instruments, else the tracks to write (number, name, family); commas between."
    ),
    bars: int | None = typer.Option(None, "--bars", help="Bars to write; 8 unless said."),
    seconds: float | None = typer.Option(None, "--seconds", help="The same by time, in whole bars."),
    tempo: float | None = typer.Option(None, "--tempo", help="Quarter notes a minute, of what is written."),
    metre: str = typer.Option("", "--metre", help="Metre of what is written, as in 7/8."),
    key: str = typer.Option("", "--key", help="Key of what is written, as in Em or F#: favoured."),
    strict_key: bool = typer.Option(False, "--strict-key", help="No pitch outside the key."),
    tuning: str = typer.Option(
        "", "--tuning", help="Of new fretted tracks: drop-d …, or strings, as in 'D2 A2 D3 G3'."
    ),
    density: float | None = typer.Option(None, "--density", help="Notes a bar, all written tracks together."),
    low: str = typer.Option("", "--low", help="Lowest pitch, as in E2 or 40; drums aside."),
    high: str = typer.Option("", "--high", help="Highest pitch."),
    nearness: float = typer.Option(0.0, "--nearness", help="-1 … 1: away from or towards the seed's own figures."),
    takes: int = typer.Option(
        1, "--takes", min=1, max=100, help="Different ones, ranked; files get -1, -2, … (1 best)."
    ),
    seed: int = typer.Option(0, "--seed", min=0, help="The same seed gives the same music."),
    temperature: float = typer.Option(1.0, "--temperature", help="0 = always the likeliest."),
    top_p: float = typer.Option(0.95, "--top-p", help="Draw from the likeliest that together reach this."),
    top_k: int = typer.Option(0, "--top-k", help="Draw from so many likeliest; 0 = all."),
    min_p: float = typer.Option(0.0, "--min-p", help="Draw from those at least this share as likely as the likeliest."),
    typical: float = typer.Option(1.0, "--typical", help="Draw from the least surprising that together reach this."),
    contrastive: float = typer.Option(
        0.0, "--contrastive", help="Contrastive search instead of a draw, 0-1; 0.6 with --top-k 4 is its authors'."
    ),
    dry: float = typer.Option(0.0, "--dry", help="Brake on repeated tokens within bars; 0.8 is its author's."),
    no_repeat: int = typer.Option(0, "--no-repeat", help="No run of so many tokens twice; 0 = off."),
    guard: bool = typer.Option(True, "--guard/--no-guard", help="Draw bars again that make a loop."),
    recall: bool = typer.Option(
        True, "--recall/--no-recall", help="Say phrases again as music does (models in fields)."
    ),
    original: bool = typer.Option(
        True, "--original/--no-original", help="Draw bars again that copy the training set (models that know it)."
    ),
    may_be_empty: bool = typer.Option(False, "--may-be-empty", help="What is filled in may stay silent."),
    controls: bool = typer.Option(False, "--controls", help="List what can be asked, and how well it is obeyed."),
    model: str = typer.Option(
        "shipped", "--model", help="A run, a model folder or a hub id, or the one that comes with cadenza."
    ),
    adapter: str = typer.Option(
        "", "--adapter", help="An adapter, or a run that made one, on top (without --model: on its own base)."
    ),
    quantize: str = typer.Option("", "--quantize", help="nf4 or int8: smaller weights for big models."),
) -> None:
    """Continue a piece, fill bars in, add a part, or begin one; what you do not ask for stays untouched."""
    from cadenza.base.errors import ConfigError

    if controls:
        _list_controls()
        return
    if not out:
        raise ConfigError("a file to write (-o)", "none")
    if sum((continues, bool(infill), bool(accompany), new)) > 1:
        raise ConfigError("one of --continue, --infill, --accompany and --new", "several")
    if new and not tracks:
        raise ConfigError("instruments for --new", "none", hint="--tracks guitar,bass,drums")
    if new == (file is not None):
        raise ConfigError("a FILE" if not new else "no FILE with --new", "none" if not new else str(file))
    from cadenza import formats
    from cadenza.infer.choose import Decoding
    from cadenza.infer.compose import compose as composed
    from cadenza.infer.model import load_model
    from cadenza.infer.repetition import Brakes
    from cadenza.infer.sample import Sampling

    for target in out:
        formats.module_for(target, "write")  # a wrong suffix is said before the work, not after
    score = formats.read(file) if file is not None else None
    sampling = Sampling(temperature=temperature, top_p=top_p, top_k=top_k, min_p=min_p, typical_p=typical)
    decoding = Decoding(sampling, Brakes(dry=dry, no_repeat=no_repeat), guard, recall, original, contrast=contrastive)
    composer = load_model(model, adapter=adapter, quantize=quantize)
    if score is not None and file is not None:
        typer.echo(f"{file.name}: {len(score.tracks)} tracks, {score.n_notes:,} notes")
    begun = time.perf_counter()
    with _progress("composing") as advance:
        found = composed(
            score,
            model=composer,
            bars=bars,
            seconds=seconds,
            infill=infill or None,
            accompany=accompany or None,
            new=tracks if new else None,
            tracks=tracks or None if not new else None,
            tempo=tempo,
            metre=metre or None,
            tuning=tuning or None,
            key=key or None,
            strict_key=strict_key,
            density=density,
            low=low or None,
            high=high or None,
            nearness=nearness,
            decoding=decoding,
            takes=takes,
            random_seed=seed,
            may_be_empty=may_be_empty,
            on_bar=advance,
        )
    spent = time.perf_counter() - begun
    n_tokens = sum(one.take.n_tokens for one in found)
    if takes > 1:
        _table(found)
    for number, one in enumerate(found, 1):
        take = one.take
        name = f"take {number}: " if takes > 1 else ""
        n_bars = _bars_in(take)
        typer.echo(
            f"{name}{n_bars} bars, {take.n_notes} notes from bar {_bar_of(take)} on"
            + (f", in {spent:.1f} s ({n_tokens / spent:.0f} tokens/s)" if number == 1 else "")
            + f"; {take.copied_bars:.0%} of the bars equal one of yours"
        )
        for said in one.unmet:
            typer.echo(f"  not met: {said}")
        for reason, count in take.kept_against.items():
            typer.echo(f"  {count} bars stayed although they make {reason}")
        if one.original:
            run, share = one.original.get("copied_run", 0), one.original.get("copied_bars", 0)
            human = composer.originality
            beside = ""
            if human is not None and human.bar_share is not None:
                beside = f" (human music: hardly ever beyond {human.max_run}; {human.bar_share.mean:.0%})"
            typer.echo(
                f"  longest run known from the training set: {run:.0f} notes; {share:.0%} of a track's bars are{beside}"
            )
        if number == 1:
            if take.left_out:
                typer.echo(f"  not read (silent there, or beyond 16 tracks): {', '.join(take.left_out)}")
            for remark in take.remarks:
                typer.echo(f"  note: {remark}")
        for target in out:
            path = target if takes == 1 else target.with_stem(f"{target.stem}-{number}")
            typer.echo(f"  {path}{_write(take, path)}")


def _list_controls() -> None:
    from rich.console import Console
    from rich.table import Table

    from cadenza.infer.controls import CONTROLS, obedience

    measured = obedience()
    table = Table("control", "values", "kept by", "obeyed", box=None, pad_edge=False)
    for name, (values, how) in CONTROLS.items():
        rows = [measured[part] for part in name.split(", ") if part in measured]
        share = ", ".join(f"{row['met']}/{row['runs']}" for row in rows)
        table.add_row(name, values, how, share)
    Console(soft_wrap=True).print(table)


def _table(found: list[Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    names = list(dict.fromkeys(name for one in found for name in one.columns))
    table = Table("take", "seed", "rating", "bits/note", *(name.replace("_", " ") for name in names), box=None)
    for number, one in enumerate(found, 1):
        cells = [f"{one.columns[name]:.2f}" if name in one.columns else "" for name in names]
        table.add_row(str(number), str(one.random_seed), f"{one.rating:.0f}", f"{one.take.bits_per_note:.2f}", *cells)
    Console().print(table)


def _write(take: Any, path: Path) -> str:
    from cadenza import formats
    from cadenza.base.files import make_folder_for

    make_folder_for(path)
    module = formats.module_for(path, "write")
    suffix = path.suffix.lower()
    if suffix in (".png", ".svg", ".pdf"):
        from cadenza.app.cli.render import further

        pages = module.write(take.score, path, coloured=_new_part(take))
        return f" (what is new in colour){further(pages)}"
    if suffix in (".wav", ".mp3"):
        return f" (played by {module.write(take.score, path)})"
    module.write(take.score, path)
    return ""


def _new_part(take: Any) -> Any:
    """What a picture shows in colour: all that follows a seed, else the written bars of the written tracks."""
    from cadenza.formats.coloured import Coloured

    stop = max((stop for _, _, stop in take.written), default=0)
    ends = stop >= take.score.length_ticks
    if ends and take.start_ticks > 0:
        return Coloured(take.start_ticks)
    tracks = frozenset(track for track, _, _ in take.written)
    return Coloured(take.start_ticks, None if ends else stop, tracks if len(tracks) < len(take.score.tracks) else None)


def _bar_of(take: Any) -> int:
    from cadenza.score.time import bar_table

    return int(bar_table(take.score).index_of(take.start_ticks)) + 1


def _bars_in(take: Any) -> int:
    from cadenza.score.time import bar_table

    table = bar_table(take.score)
    stretches = {(start, stop) for _, start, stop in take.written}
    return sum(int(table.index_of(stop - 1) - table.index_of(start)) + 1 for start, stop in stretches)


class _progress:
    """Bars done, all takes together, where somebody watches; else nothing."""

    def __init__(self, text: str) -> None:
        from rich.console import Console
        from rich.progress import Progress, SpinnerColumn, TextColumn

        console = Console(stderr=True)
        columns = SpinnerColumn(), TextColumn("{task.description} {task.completed:.0f} bars")
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task(text, total=None)

    def __enter__(self) -> Any:
        self._progress.start()
        return lambda take, bars: self._progress.update(self._task, advance=1)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
