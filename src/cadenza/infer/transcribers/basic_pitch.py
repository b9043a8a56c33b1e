"""Basic Pitch, by the ONNX model in its package: its windows, its thresholds, its own note creation.

``pip install --no-deps basic-pitch==0.4.0`` is enough beside ``cadenza[measure]``: its other dependencies (an old
tensorflow among them) are for other models. Its note creation imports librosa, resampy and pretty_midi and needs of
them only a division, so where they are missing stand-ins are there while it is imported.

Bittner, Bosch, Rubinstein, Meseguer-Brocal & Ewert, "A lightweight instrument-agnostic model for polyphonic note
transcription and multipitch estimation", ICASSP 2022.
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import types
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import MissingExtraError
from cadenza.formats.audio_file import AudioFile
from cadenza.infer.transcribers import Sounded

RATE, HOP, OVERLAP_FRAMES = 22_050, 256, 30
N_SAMPLES = 2 * RATE - HOP
ONSET, FRAME, MIN_FRAMES = 0.5, 0.3, 11  # its command line's defaults: 127.7 ms
_OUTPUTS = (
    "StatefulPartitionedCall:1",
    "StatefulPartitionedCall:2",
    "StatefulPartitionedCall:0",
)  # note, onset, contour
_INPUT = "serving_default_input_2:0"
_STOOD_IN = ("librosa", "resampy", "pretty_midi")


def listen(audio: AudioFile) -> Iterator[tuple[float, list[Sounded]]]:
    """Its notes; all of them come at the end, since it looks at the whole recording to create them."""
    creation, session = _loaded(0)
    yield from transcribed(audio, creation, session)


def transcribed(audio: AudioFile, creation: Any, session: Any) -> Iterator[tuple[float, list[Sounded]]]:
    """As :func:`listen`, with what :func:`loaded` gives."""
    overlap = OVERLAP_FRAMES * HOP
    step = N_SAMPLES - overlap
    kept, total = np.zeros(overlap // 2, np.float32), 0
    found: list[list[NDArray[np.float32]]] = [[], [], []]
    for block in (*_blocks(audio), None):
        kept = kept if block is None else np.concatenate([kept, block])
        total += 0 if block is None else len(block)
        while len(kept) >= N_SAMPLES or (block is None and len(kept)):
            window = np.pad(kept[:N_SAMPLES], (0, max(0, N_SAMPLES - len(kept))))
            for parts, part in zip(found, session.run(list(_OUTPUTS), {_INPUT: window[None, :, None]}), strict=True):
                parts.append(part[0, OVERLAP_FRAMES // 2 : -(OVERLAP_FRAMES // 2)])
            kept = kept[step:]
        yield total / RATE, []
    n_frames = int(np.floor(total * (RATE // HOP / RATE)))
    note, onset, contour = (np.concatenate(parts)[:n_frames] for parts in found)
    events = creation.output_to_notes_polyphonic(
        note, onset, onset_thresh=ONSET, frame_thresh=FRAME, min_note_len=MIN_FRAMES, infer_onsets=True,
        max_freq=None, min_freq=None, melodia_trick=True,
    )  # fmt: skip
    times = creation.model_frames_to_time(len(contour))
    yield (
        total / RATE,
        [
            Sounded(float(times[first]), float(times[last]), int(pitch), round(127 * float(loud)), float(loud))
            for first, last, pitch, loud in events
        ],
    )


def _blocks(audio: AudioFile) -> Iterator[NDArray[np.float32]]:
    return audio.mono(RATE)


@lru_cache(maxsize=2)
def _loaded(threads: int) -> tuple[Any, Any]:
    return loaded(threads)


def loaded(threads: int = 0) -> tuple[Any, Any]:
    """(its note creation, a session of its model); ``threads`` 0: as many as there are cores.

    Raises:
        MissingExtraError: it is not installed.
    """
    import onnxruntime

    with _stand_ins():
        try:
            from basic_pitch import note_creation
        except ImportError as error:
            raise MissingExtraError(
                "basic-pitch with scipy and mir_eval",
                str(error),
                hint="pip install --no-deps basic-pitch==0.4.0 && pip install 'cadenza[measure]'",
            ) from None
    folder = Path(note_creation.__file__).parent / "saved_models" / "icassp_2022"
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(folder / "nmp.onnx"), options, providers=["CPUExecutionProvider"])
    return note_creation, session


@contextmanager
def _stand_ins() -> Iterator[None]:
    """Modules with the names of those that are missing, for as long as Basic Pitch is imported."""
    made = {name: types.ModuleType(name) for name in _STOOD_IN if importlib.util.find_spec(name) is None}
    if "librosa" in made:
        made["librosa"].core = types.SimpleNamespace(frames_to_time=_frames_to_time)  # type: ignore[attr-defined]
    sys.modules |= made
    logging.disable(logging.WARNING)  # it warns of each kind of model that it cannot run
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
        for name in made:
            sys.modules.pop(name, None)


def _frames_to_time(frames: Any, sr: float, hop_length: int) -> NDArray[np.float64]:
    return np.asarray(frames) * hop_length / sr
