"""Recipes that come with the package: each is valid, named, and does what its words say."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cadenza import formats
from cadenza.app.cli.corpus import app
from cadenza.base import recipes
from cadenza.base.config import load_config
from cadenza.base.errors import ConfigError
from cadenza.corpus.open import BuiltCorpus
from cadenza.corpus.pipeline import CorpusConfig
from cadenza.score.model import STANDARD_TUNINGS, Bend, Metre, Note, Score, Track


@pytest.mark.parametrize("name", recipes.names("corpus"))
def test_every_recipe_is_valid(name):
    config = load_config(CorpusConfig, [str(recipes.find(name, "corpus"))])
    assert config.make_notation().name == config.notation["name"]


def test_the_default_recipe_is_the_default():
    assert (
        load_config(CorpusConfig, [str(recipes.find("default", "corpus"))]).make_notation()
        == CorpusConfig().make_notation()
    )
    written, made = load_config(CorpusConfig, [str(recipes.find("default", "corpus"))]), CorpusConfig()
    assert written.settings(written.make_notation()) == made.settings(made.make_notation())
    assert written.augmentation() == made.augmentation()
    for field in ("tasks", "select", "weights", "deduplicate", "group", "unfold", "seed", "chunk_files"):
        assert getattr(written, field) == getattr(made, field)


def test_a_file_goes_before_a_name_and_a_wrong_name_is_corrected(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("seed: 3\n")
    assert recipes.find(str(path), "corpus") == path
    with pytest.raises(ConfigError, match="Did you mean 'giantmidi-piano'"):
        recipes.find("giant-midi-piano", "corpus")


def test_guitars_that_bend_are_drawn_more_often(tmp_path: Path):
    pytest.importorskip("pyarrow", reason="pyarrow (extra [corpus]) is not installed")

    def solo(bends: int) -> Score:
        curve = (Bend(0, 0), Bend(240, 200))
        notes = [Note(480 * i, 480, 60 + (i * i + bends) % 13, bends=curve if i < bends else ()) for i in range(64)]
        guitar = Track.of(notes, program=30, tuning=STANDARD_TUNINGS["guitar"])
        return Score((guitar,), metres=(Metre(0, 4, 4),), length_ticks=64 * 480)

    (tmp_path / "tabs").mkdir()
    for bends in (0, 7, 64):
        formats.write(solo(bends), tmp_path / "tabs" / f"{bends}.mid")
    piano = Score((Track.of([Note(480 * i, 480, 60 + i % 7) for i in range(64)]),), metres=(Metre(0, 4, 4),))
    formats.write(piano, tmp_path / "tabs" / "piano.mid")
    out = tmp_path / "out"
    arguments = ["build", str(tmp_path / "tabs"), "-o", str(out), "--recipe", "bending-guitars", "--workers", "1"]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    weights = {row["path"]: row["weight"] for row in BuiltCorpus.open(out).rows()}
    assert weights["tabs/0.mid"] == 1.0
    assert weights["tabs/7.mid"] == pytest.approx(1 + 3 * (7 / 64) / 0.2, abs=0.01)
    assert weights["tabs/64.mid"] == 4.0
    assert "tabs/piano.mid" not in weights
