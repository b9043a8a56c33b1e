"""ByteDance's piano transcription, by ``piano_transcription_inference`` and its checkpoint, where both are there.

The package fetches its checkpoint (165 MB) by itself when it is first used; here nothing is fetched unasked, so a
missing checkpoint is an error that says where to get it. Needs torch, and memory in proportion to the length.

Kong, Li, Song, Wan & Wang, "High-resolution piano transcription with pedals by regressing onset and offset times",
IEEE/ACM TASLP 29 (2021).
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np

from cadenza.base.errors import MissingExtraError, ModelError
from cadenza.formats.audio_file import AudioFile
from cadenza.infer.transcribers import Sounded

RATE = 16_000
CHECKPOINT = "piano_transcription_inference_data/note_F1=0.9677_pedal_F1=0.9186.pth"  # in the home folder
LEAST_BYTES = 160_000_000  # with fewer the package takes it for broken and fetches it again
ADDRESS = "https://zenodo.org/records/4034264"


def listen(audio: AudioFile) -> Iterator[tuple[float, list[Sounded]]]:
    """Its notes, all at the end; it says no confidence."""
    with redirect_stdout(io.StringIO()):  # it tells its progress there
        model = loaded()
        samples = np.concatenate(list(audio.mono(RATE)))
        found = model.transcribe(samples, None)["est_note_events"]
    yield (
        audio.duration_seconds,
        [
            Sounded(
                float(one["onset_time"]), float(one["offset_time"]), int(one["midi_note"]), int(one["velocity"]), 1.0
            )
            for one in found
        ],
    )


def loaded(checkpoint: Path | None = None) -> Any:
    """Its model on the processor.

    Args:
        checkpoint: where the package looks for it, if None.

    Raises:
        MissingExtraError: it is not installed.
        ModelError: its checkpoint is not there.
    """
    try:
        from piano_transcription_inference import PianoTranscription
    except ImportError as error:
        raise MissingExtraError(
            "piano_transcription_inference", str(error), hint="pip install piano_transcription_inference torch"
        ) from None
    path = checkpoint or Path.home() / CHECKPOINT
    if not path.is_file() or path.stat().st_size < LEAST_BYTES:
        raise ModelError(
            "its checkpoint of 165 MB", "none" if not path.is_file() else "a part of it", where=str(path),
            hint=f"Get it from {ADDRESS}.",
        )  # fmt: skip
    return PianoTranscription(checkpoint_path=str(path), device="cpu")
