"""``cadenza transcribe AUDIO -o OUT``: a recording, heard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cadenza.infer.transcribe import Transcription
    from cadenza.score.model import Score
    from cadenza.train.listening.transcribe import Told


def transcribe(
    audio: Path = typer.Argument(..., metavar="AUDIO", help="Sound file: wav, flac, ogg, mp3, m4a …"),
    out: list[Path] = typer.Option(
        [], "-o", "--out", help="File to write; its suffix says the format. May be given again."
    ),
    report: Path | None = typer.Option(
        None, "--report", help="Also a page FILE.html: sound, notes with confidence and sheet, lined up; offline."
    ),
    instruments: str = typer.Option(
        "", "--instruments", help="Only these, with commas: piano, mallet, organ, plucked, bass, bowed, voice, wind."
    ),
    tempo: float | None = typer.Option(None, "--tempo", help="Quarter notes a minute; found where it is not said."),
    metre: str | None = typer.Option(None, "--metre", help="3/4, 6/8 …; found where it is not said."),
    key: str | None = typer.Option(None, "--key", help="G, Bb, F#m …; found where it is not said."),
    quantize: str = typer.Option(
        "auto",
        "--quantize",
        help="Grid: places a whole note (4, 8, 12, 16, 24, 32, 48), auto: each beat's own, or none: timing as played.",
    ),
    drums: bool = typer.Option(True, "--drums/--no-drums", help="Whether drums are listened for."),
    threshold: float = typer.Option(
        0.0, "--threshold", help="Onset probability from which a note counts; 0 = the model's own."
    ),
    model: Path | None = typer.Option(None, "--model", help="Folder of another ear."),
    engine: str = typer.Option(
        "auto",
        "--engine",
        help="What runs the ear: onnxruntime, openvino (the extra fast); auto: the latter if there.",
    ),
    transcriber: str = typer.Option(
        "ear", "--with", help="Who listens: ear (cadenza's own), naive, basic-pitch, piano-transcription."
    ),
    route: str = typer.Option(
        "auto",
        "--route",
        help="a: ear and notator; b: a model that listens (--listener); auto: what measures better on such sound.",
    ),
    listener: str | None = typer.Option(
        None,
        "--listener",
        help="shipped, or a run of cadenza train listen …: hears short passages; --route auto takes it for one voice.",
    ),
) -> None:
    """Write down the notes of a recording by instrument: tempo, bars, key, note values, hands, strings and frets."""
    import time

    from cadenza import formats
    from cadenza.base.errors import ConfigError
    from cadenza.base.files import make_folder_for, write_atomically
    from cadenza.infer import transcribers
    from cadenza.infer.heard_notes import Thresholds
    from cadenza.infer.notator import notated
    from cadenza.infer.notator.options import given
    from cadenza.infer.transcribe import transcribe as listen
    from cadenza.model.ear import Ear

    if not out and report is None:
        raise ConfigError("a file to write", "none", hint="Give -o FILE, --report FILE.html, or both.")
    if report is not None and report.suffix.lower() not in (".html", ".htm"):
        raise ConfigError("--report FILE.html", str(report))
    if route not in ("a", "b", "auto") or (route == "b" and listener is None) or (route == "a" and listener):
        said = f"--route {route}" + f" --listener {listener}" * (listener is not None)
        raise ConfigError("--route a, or --route b or auto with --listener RUN", said)
    spoken = (report, instruments, tempo, metre, key, threshold, model, engine != "auto")
    of_a = any(spoken) or not drums or quantize != "auto" or transcriber != transcribers.EAR or not out
    if route == "b" and listener is not None:
        if of_a:
            raise ConfigError("--route b with --listener and -o alone", "options of route a")
        _by_listener(audio, listener, out)
        return
    if not 0 <= threshold < 1:
        raise ConfigError("--threshold of 0–1", str(threshold))
    if transcriber not in transcribers.names():
        transcribers.TRANSCRIBERS.load(transcriber)  # says which there are
    if transcriber != transcribers.EAR and (threshold or model or not drums or engine != "auto"):
        own = "--threshold, --model, --engine and --no-drums with cadenza's own ear"
        raise ConfigError(own, f"--with {transcriber}")
    grid = None if quantize == "auto" else quantize
    given(tempo, metre, key, grid)  # what cannot be is said before the work, not after
    for target in out:
        formats.module_for(target, "write")  # a wrong suffix is said before the work, not after
    wanted = [name.strip() for name in instruments.split(",") if name.strip()]
    begun = time.perf_counter()
    with _progress(audio) as advance:
        if transcriber == transcribers.EAR:
            found = listen(
                audio,
                Ear(model, engine=engine),
                instruments=wanted,
                drums=drums,
                thresholds=Thresholds(onset=threshold) if threshold else None,
                on_progress=advance,
            )
        else:
            found = transcribers.transcribe_with(transcriber, audio, instruments=wanted, on_progress=advance)
    spent = time.perf_counter() - begun
    ended = "" if found.complete else " (interrupted: what was heard until then)"
    tuned = f", tuned {found.tuning_cents:+.0f} cents" if transcriber == transcribers.EAR else f", by {transcriber}"
    typer.echo(
        f"{audio.name}: {found.score.n_notes:,} notes in {found.duration_seconds:.1f} s of sound{tuned}, "
        f"heard in {spent:.1f} s{ended}"
    )
    for track in found.score.tracks:
        bent = f", {len(set(track.bends['note'].tolist()))} of them bent" if len(track.bends) else ""
        typer.echo(f"  {track.name}: {len(track):,} notes{bent}")
    if listener is not None:
        told = None if of_a else _better(audio, listener, found)
        if told is not None:
            _write(audio, told, out)
            return
        if of_a:
            typer.echo("  route a: its own options are given")
    page = notated(found.score, tempo=tempo, metre=metre, key=key, quantize=grid)
    typer.echo(f"  {_said(page.score)}")
    for target in out:
        make_folder_for(target)
        formats.write(page.score, target)
        typer.echo(f"  {target}")
    if report is not None:
        from cadenza.app import transcription_page

        make_folder_for(report)
        write_atomically(report, transcription_page.html(audio, found, page, transcriber).encode())
        typer.echo(f"  {report}")


def _by_listener(audio: Path, listener: str, out: list[Path]) -> None:
    """Route b: what a model that listens writes."""
    from cadenza import formats
    from cadenza.app.cli.train import _needs_extra

    for target in out:
        formats.module_for(target, "write")
    _needs_extra()
    from cadenza.train.listening.transcribe import transcribe as tell

    _write(audio, tell(audio, listener), out)


def _write(audio: Path, told: Told, out: list[Path]) -> None:
    from cadenza import formats
    from cadenza.base.files import make_folder_for

    typer.echo(f"{audio.name}: {told.score.n_notes:,} notes, {_said(told.score)}; {-told.log2_p:.0f} bits")
    for target in out:
        make_folder_for(target)
        formats.write(told.score, target)
        typer.echo(f"  {target}")


def _better(audio: Path, listener: str, found: Transcription) -> Told | None:
    """What a listener writes where it measures better: one voice, not longer than it hears (docs/listening.md); None
    where it does not, or where it writes no music."""
    from cadenza.app.cli.train import _needs_extra
    from cadenza.base.errors import ModelError
    from cadenza.infer.heard_notes import is_one_voice

    _needs_extra()
    from cadenza.train.listening.transcribe import seconds_of
    from cadenza.train.listening.transcribe import transcribe as tell

    most_seconds = seconds_of(listener)
    if found.duration_seconds > most_seconds or not is_one_voice(found.heard):
        typer.echo(f"  route a: more than one voice, or longer than {most_seconds:g} s")
        return None
    try:
        return tell(audio, listener)
    except ModelError as error:
        typer.echo(f"  route a: {error}")
        return None


def _said(page: Score) -> str:
    """Tempo, metre and key in words."""
    from cadenza.notation.abc.pitches import key_name

    speeds = [tempo.quarters_per_minute for tempo in page.tempos]
    pace = f"{speeds[0]:g}" if len(speeds) == 1 else f"{min(speeds):.0f}–{max(speeds):.0f}"
    keys = [key_name(key.fifths, key.mode) for key in page.keys[:1]]
    return ", ".join([f"{pace} quarters a minute", f"{page.metres[0].numerator}/{page.metres[0].denominator}", *keys])


class _progress:
    """A progress bar over seconds where somebody watches, else nothing."""

    def __init__(self, audio: Path) -> None:
        from rich.console import Console
        from rich.progress import Progress

        from cadenza.formats.audio_file import open_audio

        console = Console(stderr=True)
        self._progress = Progress(console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("listening", total=open_audio(audio).duration_seconds)

    def __enter__(self):  # type: ignore[no-untyped-def]
        self._progress.start()
        return lambda seconds: self._progress.update(self._task, completed=seconds)

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
