"""What a tower said of sounds, kept in a folder: computed once, elsewhere, by whoever has the tower's weights.

A folder holds ``embeddings.f16`` (float16, frames after one another) and ``shards.json`` (width, rate, what said it,
and for each sound, by a hash of its samples, the first frame and how many).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, FormatError, ModelError
from cadenza.base.files import write_atomically
from cadenza.train.listening.towers import Floats, Tower

FRAMES, INDEX = "embeddings.f16", "shards.json"
KEEP_EVERY = 64  # sounds


class ShardTower:
    """Embeddings that were computed elsewhere: a folder of :func:`write_shards`, found by the sound itself.

    Raises:
        FormatError: no such folder.
        ModelError: (when asked) no embedding of a sound is there.
    """

    def __init__(self, source: str = "") -> None:
        try:
            about = json.loads((Path(source) / INDEX).read_text("utf-8"))
            self.width, self.frames_per_second = int(about["width"]), float(about["frames_per_second"])
            self._places: dict[str, tuple[int, int]] = {key: (a, n) for key, (a, n) in about["clips"].items()}
            end = max((a + n for a, n in self._places.values()), default=0)
            self._rows = np.memmap(Path(source) / FRAMES, np.float16, "r", shape=(end, self.width))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FormatError("a folder of embeddings", str(error)[:200], where=str(source)) from None
        self._source = source

    def __call__(self, samples: NDArray[np.int16]) -> Floats:
        place = self._places.get(sound_key(samples))
        if place is None:
            raise ModelError("an embedding of every clip", "none of one of them", where=self._source)
        return np.array(self._rows[place[0] : place[0] + place[1]], np.float32)

    def fingerprint(self) -> str:
        return hashlib.sha256((Path(self._source) / INDEX).read_bytes()).hexdigest()


def sound_key(samples: NDArray[np.int16]) -> str:
    """What names a sound."""
    return hashlib.sha256(samples.tobytes()).hexdigest()[:32]


def write_shards(
    out: Path,
    sounds: Iterable[NDArray[np.int16]],
    tower: Tower,
    to_per_second: float = 10.0,
    on_sound: Callable[[int], None] | None = None,
) -> int:
    """Write what a tower says of sounds, mean-pooled to ``to_per_second``; returns how many sounds there are.

    What is there already is not computed again, so a run that was stopped goes on.

    Args:
        on_sound: called with the number of sounds that are done.

    Raises:
        ConfigError: the tower has no fixed rate.
        FormatError: what lies there is of another tower or rate, or no such folder.
    """
    if not tower.frames_per_second:
        raise ConfigError("a tower whose frames have a rate", "one that says events")
    rate = min(to_per_second, tower.frames_per_second)
    said: dict[str, Any] = {"width": tower.width, "frames_per_second": rate, "tower": tower.fingerprint()}
    out.mkdir(parents=True, exist_ok=True)
    places = _known(out, said)
    end = max((first + n for first, n in places.values()), default=0)
    mode = "r+b" if (out / FRAMES).is_file() else "wb"
    with open(out / FRAMES, mode) as file:
        file.truncate(end * tower.width * 2)  # frames after those that are told of were not finished
        file.seek(0, 2)
        fresh = 0
        for number, samples in enumerate(sounds, 1):
            key = sound_key(samples)
            if key not in places:
                few = _to_rate(tower(samples), tower.frames_per_second, rate).astype(np.float16)
                file.write(few.tobytes())
                places[key] = (end, len(few))
                end += len(few)
                fresh += 1
                if fresh % KEEP_EVERY == 0:
                    file.flush()
                    write_atomically(out / INDEX, json.dumps(said | {"clips": places}).encode())
            if on_sound is not None:
                on_sound(number)
    write_atomically(out / INDEX, json.dumps(said | {"clips": places}).encode())
    return len(places)


def _known(out: Path, said: dict[str, Any]) -> dict[str, tuple[int, int]]:
    if not (out / INDEX).is_file():
        return {}
    try:
        about = json.loads((out / INDEX).read_text("utf-8"))
        places = {key: (int(first), int(n)) for key, (first, n) in about.pop("clips").items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError("a folder of embeddings", str(error)[:200], where=str(out)) from None
    if about != said:
        raise FormatError(
            "embeddings of the same tower and rate", "others", where=str(out), hint="Write these into another folder."
        )
    return places


def _to_rate(features: Floats, rate: float, to_rate: float) -> Floats:
    """Means over equal stretches of time; one frame of zeros where there is none."""
    if not len(features):
        return np.zeros((1, features.shape[1]), np.float32)
    n = max(1, round(len(features) / rate * to_rate))
    edges = np.rint(np.linspace(0, len(features), n + 1)).astype(int)
    rows = [features[a : max(b, a + 1)].mean(0) for a, b in pairwise(edges)]
    return np.stack(rows).astype(np.float32)
