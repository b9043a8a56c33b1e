"""The encoder of a Whisper."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, ModelError
from cadenza.train.listening.towers import SAMPLE_RATE, Floats, sound_of


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
