"""The trained ear on ONNX Runtime: sound in, curves out, in windows that meet without a seam.

The network looks a fixed number of frames to either side, so a window with that much margin gives exactly what the
whole recording would have given; memory does not grow with length.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ModelError
from cadenza.base.tensors import read_json_object
from cadenza.model import ear_features as front
from cadenza.model.ear_architecture import HEADS, EarShape
from cadenza.model.ear_engines import AUTO, open_engine
from cadenza.model.ear_graph import GRAPH_VERSION

WINDOW_FRAMES = 1000  # 20 s
GRAPH_NAME = "ear.onnx"

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Curves:
    """What the ear says of a stretch of frames.

    Args:
        first_frame: of the recording, :data:`~cadenza.model.ear_features.FRAMES_PER_SECOND` a second.
        values: ``onset``, ``frame``, ``offset``, ``velocity`` (probabilities or 0–1), ``shift`` (frames), ``bend``
            (semitones), each (T, 88); ``family`` (families, T, 88); ``drums`` (T, drums).
    """

    first_frame: int
    values: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.values["onset"])


def shipped_folder() -> Path:
    """Where the ear that comes with cadenza lies."""
    return Path(str(files("cadenza"))) / "models" / "ear"


class Ear:
    """An ear to listen with.

    Args:
        folder: a model folder with ``ear.onnx``; the shipped one where None.
        threads: of the runtime; None: of ONNX Runtime two, of OpenVINO one, as it is no slower than what feeds it.
        engine: what runs it, of :data:`~cadenza.model.ear_engines.ENGINES`.

    Raises:
        ConfigError: no such engine.
        ModelError: no ear is there.
        MissingExtraError: the engine is not installed.
    """

    def __init__(self, folder: Path | None = None, threads: int | None = None, engine: str = AUTO) -> None:
        path = (folder or shipped_folder()) / GRAPH_NAME
        self._network = open_engine(path, threads, engine)
        self.engine, said = self._network.name, self._network.said
        self.facts = read_json_object(said.encode(), str(path)) if said else {}
        if self.facts.get("version") != GRAPH_VERSION:
            raise ModelError(
                f"an ear of version {GRAPH_VERSION}", repr(self.facts.get("version")), where=str(path),
                hint="Export it again with this version of cadenza.",
            )  # fmt: skip
        self.reach_frames = EarShape(**self.facts["shape"]).reach_frames
        self.families: tuple[str, ...] = tuple(self.facts["families"])
        self.drums: tuple[str, ...] = tuple(self.facts["drums"])

    @property
    def onset_threshold(self) -> float:
        """Where an onset counts; fixed on synthetic validation clips when the ear was trained."""
        return float(self.facts["onset_threshold"])

    def of_magnitudes(self, magnitudes: Floats) -> dict[str, Floats]:
        """Curves of log magnitudes (2, T, bins), the edges seen as edges."""
        curves, drums = self._network(magnitudes[None])
        curves = curves[0]
        out: dict[str, Floats] = {}
        for row, name in enumerate(HEADS):
            out[name] = curves[row] if name in ("shift", "bend") else _sigmoid(curves[row])
        out["family"] = _sigmoid(curves[len(HEADS) :])
        out["drums"] = _sigmoid(drums[0])
        return out

    def listen(self, sound: Sound, window_frames: int = WINDOW_FRAMES, tuning_cents: float = 0.0) -> Iterator[Curves]:
        """Curves of a recording, window after window; the sound of the next one is read beside."""
        with ThreadPoolExecutor(1) as beside:
            coming = beside.submit(_window, sound, 0, window_frames, self.reach_frames, tuning_cents)
            while (window := coming.result()) is not None:
                if not window.is_last:
                    coming = beside.submit(_window, sound, window.stop, window_frames, self.reach_frames, tuning_cents)
                said = self.of_magnitudes(window.magnitudes)
                span = slice(window.before, window.before + window.stop - window.start)
                yield Curves(
                    window.start,
                    {name: value[:, span] if value.ndim == 3 else value[span] for name, value in said.items()},
                )
                if window.is_last:
                    return


@dataclass(frozen=True)
class _Window:
    """Frames ``start`` … ``stop`` of a recording, with ``before`` frames of sound before them."""

    start: int
    stop: int
    before: int
    magnitudes: Floats
    is_last: bool


def _window(sound: Sound, start: int, n_frames: int, reach: int, tuning_cents: float) -> _Window | None:
    """The window that begins at ``start``; None where the recording has ended."""
    stop = start + n_frames
    known = sound.frames_up_to(stop + reach)
    is_last = known < stop + reach  # the end is near: no more frames than there are
    if is_last:
        stop = min(stop, known)
        if start >= stop:
            return None
        is_last = stop == known
    before, after = min(reach, start), min(reach, known - stop)
    return _Window(start, stop, before, sound.magnitudes(start - before, stop + after, tuning_cents), is_last)


class Sound:
    """A recording that is read as it is needed, at 16 kHz, brought to the usual level; what lies behind is dropped.

    Args:
        blocks: mono samples at :data:`~cadenza.model.ear_features.SAMPLE_RATE`, one stretch after another.
        gain: factor that brings the recording to :data:`~cadenza.model.ear_features.LEVEL`.
    """

    def __init__(self, blocks: Iterator[Floats], gain: float = 1.0) -> None:
        self._blocks, self._gain = blocks, np.float32(gain)
        self._samples = np.zeros(0, np.float32)
        self._first = 0  # number of the first sample that is kept
        self._seen: tuple[int, float, Floats] | None = None  # what was last asked for: first frame, tuning, magnitudes
        self._ended = False

    @property
    def _known(self) -> int:
        return self._first + len(self._samples)

    def frames_up_to(self, frame: int) -> int:
        """Read until ``frame`` frames are whole or the recording ends; how many there are, at most ``frame``."""
        needed = frame * front.HOP + max(front.WINDOWS)
        parts, total = [self._samples], self._known
        while total < needed and not self._ended:
            block = next(self._blocks, None)
            if block is None:
                self._ended = True
                break
            parts.append(block * self._gain)
            total += len(block)
        self._samples = np.concatenate(parts)
        return min(frame, -(-total // front.HOP)) if self._ended else frame

    def magnitudes(self, first: int, stop: int, tuning_cents: float) -> Floats:
        """Log magnitudes of frames ``first`` … ``stop``, (2, stop − first, bins); older samples are dropped.

        Windows overlap by what the network sees beside them; what was worked out for the one before is taken again.
        """
        known = np.empty((2, 0, front.N_BINS), np.float32)
        if self._seen is not None and self._seen[1] == tuning_cents and (behind := first - self._seen[0]) >= 0:
            known = self._seen[2][:, behind : behind + stop - first]
        out = known
        if (begin := first + known.shape[1]) < stop:
            out = np.concatenate([known, self._worked_out(begin, stop, tuning_cents)], axis=1)
        self._seen = first, tuning_cents, out
        return out

    def _worked_out(self, first: int, stop: int, tuning_cents: float) -> Floats:
        oldest = max(0, first * front.HOP - max(front.WINDOWS))
        if oldest > self._first:
            self._samples = self._samples[oldest - self._first :].copy()
            self._first = oldest
        # Frames are counted from what is kept; it begins at a frame or, at the very start, with silence before it.
        shift, rest = divmod(self._first, front.HOP)
        samples = self._samples if not rest else self._samples[front.HOP - rest :]
        shift += bool(rest)
        return front.features(samples, first - shift, stop - first, tuning_cents)


def _sigmoid(x: Floats) -> Floats:
    return np.float32(0.5) * (np.float32(1) + np.tanh(np.float32(0.5) * x))  # does not overflow


def model_facts(families: tuple[str, ...], drums: tuple[str, ...], onset_threshold: float) -> dict[str, Any]:
    """What a graph says of itself beside its shape."""
    return {"families": list(families), "drums": list(drums), "onset_threshold": onset_threshold}


def facts_json(facts: dict[str, Any]) -> str:
    """For config.json of a model folder."""
    return json.dumps(facts, indent=1)
