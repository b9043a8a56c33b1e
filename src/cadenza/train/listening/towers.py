"""Towers: sound → features (T, width) at a fixed rate, by name under ``cadenza.encoders``.

A tower is frozen: what it hears of a clip is computed once and kept. ``ear`` is cadenza's own (ONNX Runtime, no
weights of torch); ``whisper`` the encoder of any Whisper; ``shards`` reads embeddings that were computed elsewhere, as
in LLark's recipe (Gardner et al. 2023: Jukebox, layer 36, 4,800 wide, mean-pooled from 345 to 10 a second, brought to
the language model by one linear map).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, FormatError, ModelError
from cadenza.base.files import write_atomically
from cadenza.base.registry import Registry
from cadenza.corpus.clips import SAMPLE_RATE

ENCODERS = Registry("cadenza.encoders", "encoder")

Floats = NDArray[np.float32]


class Tower(Protocol):
    """What hears.

    Attributes:
        width: of a frame.
        frames_per_second: of what it gives.
    """

    width: int
    frames_per_second: float

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        """Features of mono sound at :data:`SAMPLE_RATE`, shape (T, width)."""
        ...

    def fingerprint(self) -> str:
        """Of what the features depend on beside the sound."""
        ...


def open_tower(name: str, source: str = "") -> Tower:
    """The tower of a name.

    Args:
        source: a folder or hub id, where the tower takes one.

    Raises:
        RegistryError: no such name.
        ModelError: nothing usable lies at the source.
    """
    made: Tower = ENCODERS.load(name)(source)
    return made


def sound_of(samples: NDArray[np.int16]) -> Floats:
    """The same as numbers of −1 to 1."""
    return np.divide(samples, 32768, dtype=np.float32)


def pooled(features: Floats, factor: int, how: str = "mean") -> Floats:
    """Every ``factor`` frames as one, shape (ceil(T / factor), width); the last ones may be fewer."""
    n, width = features.shape
    whole = -(-n // factor)
    if how == "max":
        padded = np.pad(features, ((0, whole * factor - n), (0, 0)), constant_values=-np.inf)
        return padded.reshape(whole, factor, width).max(1)
    sums = np.pad(features, ((0, whole * factor - n), (0, 0))).reshape(whole, factor, width).sum(1)
    counts = np.minimum(factor, n - factor * np.arange(whole))
    return (sums / counts[:, None]).astype(np.float32)


class EarTower:
    """What cadenza's ear says of every pitch: onsets (the strongest of each 40 ms), sounding, velocity, drums.

    Args:
        source: folder of an ear; the shipped one where empty.
    """

    POOL = 2

    def __init__(self, source: str = "") -> None:
        from cadenza.model.ear import Ear, shipped_folder
        from cadenza.model.ear_features import FRAMES_PER_SECOND, N_PITCHES

        self._folder = Path(source) if source else shipped_folder()
        self._ear = Ear(self._folder, threads=1)
        self.width = 3 * N_PITCHES + len(self._ear.drums)
        self.frames_per_second = FRAMES_PER_SECOND / self.POOL

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        from cadenza.model.ear import Sound
        from cadenza.model.ear_features import LEVEL

        sound = sound_of(samples)
        power = float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0
        gain = LEVEL / power if power > 1e-6 else 1.0
        heard = list(self._ear.listen(Sound(iter([sound]), gain)))
        if not heard:
            return np.zeros((0, self.width), np.float32)
        joined = {name: np.concatenate([part.values[name] for part in heard]) for name in _EAR_CURVES}
        parts = [pooled(joined[name], self.POOL, how) for name, how in _EAR_CURVES.items()]
        return np.concatenate(parts, 1).astype(np.float32)

    def fingerprint(self) -> str:
        return hashlib.sha256((self._folder / "ear.onnx").read_bytes()).hexdigest()


_EAR_CURVES = {"onset": "max", "frame": "mean", "velocity": "mean", "drums": "max"}


class DeafTower:
    """Hears nothing: a control. A model that is trained on it can only guess what music is usually like."""

    width, frames_per_second = 8, 1.0

    def __init__(self, source: str = "") -> None:
        del source

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        return np.zeros((1, self.width), np.float32)

    def fingerprint(self) -> str:
        return "deaf"


class WhisperTower:
    """The encoder of a Whisper (Radford et al. 2022): 50 frames a second of its last hidden states.

    Args:
        source: folder or hub id.

    Raises:
        ConfigError: no source.
        ModelError: no Whisper is there.
    """

    def __init__(self, source: str = "") -> None:
        if not source:
            raise ConfigError("a folder or hub id of a Whisper", "none", where="recipe listen.tower_source")
        import torch
        from transformers import WhisperFeatureExtractor, WhisperModel

        try:
            self._extract: Any = WhisperFeatureExtractor.from_pretrained(source)
            model = WhisperModel.from_pretrained(source, dtype=torch.float32)
        except (OSError, ValueError, KeyError) as error:
            raise ModelError("a Whisper of transformers", str(error).partition("\n")[0][:200], where=source) from None
        self._encoder = model.get_encoder().eval().requires_grad_(False)
        self.width = int(model.config.d_model)
        self.frames_per_second = 50.0
        digest = hashlib.sha256()
        for name, tensor in sorted(self._encoder.state_dict().items()):
            digest.update(name.encode() + tensor.numpy().tobytes())
        self._sha256 = digest.hexdigest()

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        import torch

        sound = sound_of(samples)
        window = int(self._extract.n_samples)  # it hears half a minute at once
        parts = []
        for start in range(0, max(len(sound), 1), window):
            piece = sound[start : start + window]
            given = self._extract(piece, sampling_rate=SAMPLE_RATE, return_tensors="pt").input_features
            with torch.no_grad():
                found = self._encoder(given).last_hidden_state[0].numpy()
            parts.append(found[: max(1, round(len(piece) / SAMPLE_RATE * self.frames_per_second))])
        return np.concatenate(parts).astype(np.float32)

    def fingerprint(self) -> str:
        return self._sha256


class ShardTower:
    """Embeddings that were computed elsewhere: a folder of :func:`write_shards`, found by the sound itself.

    Raises:
        FormatError: no such folder.
        ModelError: (when asked) no embedding of a sound is there.
    """

    def __init__(self, source: str = "") -> None:
        try:
            about = json.loads((Path(source) / "shards.json").read_text("utf-8"))
            self.width, self.frames_per_second = int(about["width"]), float(about["frames_per_second"])
            self._places: dict[str, tuple[int, int]] = {key: (a, n) for key, (a, n) in about["clips"].items()}
            end = max((a + n for a, n in self._places.values()), default=0)
            self._rows = np.memmap(Path(source) / "embeddings.f16", np.float16, "r", shape=(end, self.width))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError("a folder of embeddings", str(error)[:200], where=str(source)) from None
        self._source = source

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        place = self._places.get(sound_key(samples))
        if place is None:
            raise ModelError("an embedding of every clip", "none of one of them", where=self._source)
        return np.array(self._rows[place[0] : place[0] + place[1]], np.float32)

    def fingerprint(self) -> str:
        return hashlib.sha256((Path(self._source) / "shards.json").read_bytes()).hexdigest()


def sound_key(samples: NDArray[np.int16]) -> str:
    """What names a sound."""
    return hashlib.sha256(samples.tobytes()).hexdigest()[:32]


def write_shards(
    out: Path, clips: Iterator[tuple[NDArray[np.int16], Floats]], frames_per_second: float, to_per_second: float = 10.0
) -> int:
    """Write (sound, embeddings (T, width)) pairs, mean-pooled to ``to_per_second``; returns how many there are.

    For whoever has Jukebox: its layer 36 gives 4,800 numbers 345 times a second; LLark pools them to ten a second.
    """
    out.mkdir(parents=True, exist_ok=True)
    places: dict[str, tuple[int, int]] = {}
    end, width = 0, 0
    with open(out / "embeddings.f16", "wb") as file:
        for samples, features in clips:
            few = _to_rate(features, frames_per_second, to_per_second).astype(np.float16)
            width = few.shape[1]
            places[sound_key(samples)] = (end, len(few))
            file.write(few.tobytes())
            end += len(few)
    about = {"width": width, "frames_per_second": to_per_second, "clips": places}
    write_atomically(out / "shards.json", json.dumps(about).encode())
    return len(places)


def _to_rate(features: Floats, rate: float, to_rate: float) -> Floats:
    """Means over equal stretches of time."""
    n = max(1, round(len(features) / rate * to_rate))
    edges = np.rint(np.linspace(0, len(features), n + 1)).astype(int)
    rows = [features[a : max(b, a + 1)].mean(0) for a, b in pairwise(edges)]
    return np.stack(rows).astype(np.float32)


jukebox_shards = partial(write_shards, frames_per_second=345.0)
