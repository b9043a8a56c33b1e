"""A small built corpus of made-up songs, and tiny pretrained models, for all tests of training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cadenza import formats
from cadenza.score.model import Metre, Note, Score, Tempo, Track

NOTATION = {
    "name": "simplified-midi", "velocity": "bins:8", "resolution": "grid:24", "header": "first", "bars": True,
    "compact": True, "durations": "table",
}  # fmt: skip


def song(seed: int, n_bars: int = 12) -> Score:
    """A melody over a bass; four chords, in turn."""
    rng = np.random.default_rng(seed)
    lead = [Note(480 * i, 480, int(60 + rng.integers(-7, 12)), 80) for i in range(4 * n_bars)]
    bass = [Note(960 * i, 960, int(36 + [0, 5, 7, 0][i // 2 % 4])) for i in range(2 * n_bars)]
    return Score(
        (Track.of(lead, name="Lead", program=30), Track.of(bass, program=33)),
        tempos=(Tempo(0, 120.0),), metres=(Metre(0, 4, 4),), length_ticks=1920 * n_bars,
    )  # fmt: skip


@pytest.fixture(scope="session")
def built_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("pyarrow", reason="pyarrow (extra [corpus]) is not installed")
    from cadenza.corpus.pipeline import CorpusConfig, build

    music = tmp_path_factory.mktemp("songs")
    for seed in range(40):
        formats.write(song(seed), music / f"song-{seed}.mid")
    out = tmp_path_factory.mktemp("corpus")
    config = CorpusConfig(
        notation=NOTATION, length={"bars": 4, "context": 0.25}, tasks={"continue": 1.0, "infill": 0.5}
    )
    build([music], out, config)
    return out


@pytest.fixture
def another_song() -> Score:
    """Four bars that no corpus here holds."""
    return song(99, 4)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory):
    """Kind → folder of a tiny pretrained model of it, made once."""
    pytest.importorskip("transformers", reason="training needs the extra [train]")
    from tests import tiny_models

    made: dict[str, Path] = {}

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tiny_models.save(tmp_path_factory.mktemp(kind), kind)
        return made[kind]

    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips to listen to."""
    from tests.rooms.train.listeners import make_clips

    return make_clips(tmp_path_factory.mktemp("clips"))


@pytest.fixture(scope="module")
def sft(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that listens and has hardly learned anything."""
    from tests.rooms.train.listeners import make_sft

    return make_sft(clips, tmp_path_factory.mktemp("sft"))
