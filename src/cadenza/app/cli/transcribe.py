"""``cadenza transcribe AUDIO -o OUT``: a recording, heard."""

from __future__ import annotations

from pathlib import Path

import typer


def transcribe(
    audio: Path = typer.Argument(..., metavar="AUDIO", help="Sound file: wav, flac, ogg, mp3 …"),
    out: list[Path] = typer.Option(
        ..., "-o", "--out", help="File to write; its suffix says the format. May be given again."
    ),
    instruments: str = typer.Option(
        "", "--instruments", help="Only these, with commas: piano, mallet, organ, plucked, bass, bowed, voice, wind."
    ),
    tempo: float = typer.Option(120.0, "--tempo", help="Quarter notes a minute to write; what sounds stays the same."),
    drums: bool = typer.Option(True, "--drums/--no-drums", help="Whether drums are listened for."),
    threshold: float = typer.Option(
        0.0, "--threshold", help="Onset probability from which a note counts; 0 = the model's own."
    ),
    model: Path | None = typer.Option(None, "--model", help="Folder of another ear."),
) -> None:
    """Write the notes of a recording, as they were played, by instrument."""
    import time

    from cadenza import formats
    from cadenza.base.errors import ConfigError
    from cadenza.base.files import make_folder_for
    from cadenza.infer.heard_notes import Thresholds
    from cadenza.infer.transcribe import transcribe as listen
    from cadenza.model.ear import Ear

    if not 0 <= threshold < 1:
        raise ConfigError("--threshold of 0–1", str(threshold))
    if not 5 <= tempo <= 1000:
        raise ConfigError("--tempo of 5–1000", str(tempo))
    for target in out:
        formats.module_for(target, "write")  # a wrong suffix is said before the work, not after
    ear = Ear(model)
    wanted = [name.strip() for name in instruments.split(",") if name.strip()]
    begun = time.perf_counter()
    with _progress(audio) as advance:
        found = listen(
            audio,
            ear,
            instruments=wanted,
            tempo=tempo,
            drums=drums,
            thresholds=Thresholds(onset=threshold) if threshold else None,
            on_progress=advance,
        )
    spent = time.perf_counter() - begun
    ended = "" if found.complete else " (interrupted: what was heard until then)"
    typer.echo(
        f"{audio.name}: {found.score.n_notes:,} notes in {found.duration_seconds:.1f} s of sound, tuned "
        f"{found.tuning_cents:+.0f} cents, heard in {spent:.1f} s{ended}"
    )
    for track in found.score.tracks:
        bent = f", {len(set(track.bends['note'].tolist()))} of them bent" if len(track.bends) else ""
        typer.echo(f"  {track.name}: {len(track):,} notes{bent}")
    for target in out:
        make_folder_for(target)
        formats.write(found.score, target)
        typer.echo(f"  {target}")


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
