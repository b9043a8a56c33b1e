"""Basic Pitch 0.4.0 as a peer: its packaged ONNX model, its own windows and its own note creation.

Installed without its dependencies (they want an old tensorflow): ``pip install --no-deps basic-pitch==0.4.0``. What its
note creation imports and does not use for notes (librosa, resampy) is stood in for where missing; of librosa it calls
only ``frames_to_time``, which is a division.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.formats.audio_file import open_audio

RATE, HOP, OVERLAP_FRAMES = 22_050, 256, 30
N_SAMPLES = 2 * RATE - HOP
ONSET, FRAME, MIN_FRAMES = 0.5, 0.3, 11  # its command line's defaults: 127.7 ms


class BasicPitch:
    """Path of a recording → notes (onset seconds, end seconds, pitch), shape (n, 3)."""

    def __init__(self, threads: int = 2) -> None:
        import onnxruntime

        for name in ("librosa", "resampy"):
            if importlib.util.find_spec(name) is None and name not in sys.modules:
                sys.modules[name] = types.ModuleType(name)
        librosa: Any = sys.modules.get("librosa")
        if librosa is not None and not hasattr(librosa, "core"):
            librosa.core = types.SimpleNamespace(
                frames_to_time=lambda frames, sr, hop_length: np.asarray(frames) * hop_length / sr
            )
        from basic_pitch import note_creation

        self._creation = note_creation
        folder = Path(note_creation.__file__).parent / "saved_models" / "icassp_2022"
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session = onnxruntime.InferenceSession(
            str(folder / "nmp.onnx"), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, path: Path) -> NDArray[np.float64]:
        samples = np.concatenate(list(open_audio(path).mono(RATE)))
        overlap = OVERLAP_FRAMES * HOP
        padded = np.concatenate([np.zeros(overlap // 2, np.float32), samples])
        found: list[list[NDArray[np.float32]]] = [[], [], []]
        for at in range(0, len(padded), N_SAMPLES - overlap):
            window = padded[at : at + N_SAMPLES]
            window = np.pad(window, (0, N_SAMPLES - len(window)))
            said = self._session.run(
                [f"StatefulPartitionedCall:{number}" for number in (1, 2, 0)],
                {"serving_default_input_2:0": window[None, :, None]},
            )
            for kept, part in zip(found, said, strict=True):
                kept.append(part[:, OVERLAP_FRAMES // 2 : -(OVERLAP_FRAMES // 2)])
        n_frames = int(np.floor(len(samples) * (RATE // HOP / RATE)))
        note, onset, contour = (np.concatenate(parts, 1)[0][:n_frames] for parts in found)
        events = self._creation.output_to_notes_polyphonic(
            note, onset, onset_thresh=ONSET, frame_thresh=FRAME, min_note_len=MIN_FRAMES, infer_onsets=True,
            max_freq=None, min_freq=None, melodia_trick=True,
        )  # fmt: skip
        times = self._creation.model_frames_to_time(len(contour))
        rows = [(times[first], times[last], pitch) for first, last, pitch, _ in events]
        return np.array(sorted(rows), np.float64).reshape(-1, 3)
