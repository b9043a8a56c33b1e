"""What the README shows works: its commands, its Python, its text, its figures."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from cadenza import formats
from cadenza.base import recipes
from cadenza.base.config import load_config
from cadenza.corpus.pipeline import CorpusConfig, build
from cadenza.formats.notation_file import decode

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
COMMANDS = [  # with what is said after them
    tuple(part.strip() for part in line.partition("#")[::2])
    for language, text in BLOCKS
    if language == "sh"
    for line in text.splitlines()
    if line.startswith("cadenza ")
]


@pytest.fixture
def place(tmp_path):
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "out" / "examples").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(("command", "said"), COMMANDS)
def test_commands(command, said, place):
    if "out/examples/riff.mid" in command:  # which an earlier command of the page has made
        formats.write(formats.read(ROOT / "examples" / "riff.gp5"), place / "out" / "examples" / "riff.mid")
    if command.startswith(("cadenza corpus show", "cadenza corpus check")):
        build([place / "examples"], place / "out" / "corpus", CorpusConfig())
    if command.startswith("cadenza transcribe"):
        pytest.importorskip("soundfile")
        formats.write(formats.read(ROOT / "examples" / "waltz.mid"), place / "out" / "waltz.wav", sample_rate=16_000)
    if command.startswith("cadenza train"):
        recipe = load_config(CorpusConfig, [str(recipes.find("composer", "corpus"))])
        build([place / "examples"], place / "out" / "corpus", recipe)
    run = subprocess.run(
        [sys.executable, "-m", "cadenza.app.cli.main", *shlex.split(command)[1:]],
        cwd=place, capture_output=True, text=True,
    )  # fmt: skip
    assert run.returncode == (1 if said == "exit status 1" else 0), run.stderr
    for target in re.findall(r"out/[\w/-]+\.[\w.]+", command):
        stem, _, suffix = target.rpartition(".")
        assert list(place.glob(f"{stem}*.{suffix}")), target


def test_python(place):
    (code,) = [text for language, text in BLOCKS if language == "python"]
    run = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (place / "out" / "continued.gp5").stat().st_size > 0


def test_text():
    (text,) = [text for _, text in BLOCKS if text.startswith("q960")]
    score = decode(text)
    assert [track.name for track in score.tracks] == ["Lead guitar", "Drums"]
    assert score.n_notes == 3


def test_figures_are_the_measured_ones():
    held_out = json.loads((ROOT / "benchmarks" / "results" / "composer_held_out.json").read_text("utf-8"))
    (row,) = [row for row in held_out["rows"] if (row["task"], row["of"]) == ("continue", "all")]
    bits, gains = row["bits_per_note"], held_out["gain_of_composer"]
    flat = " ".join(README.split())
    assert f"On {row['works']} held-out works it needs **{bits['composer']:.2f} bits per note**" in flat
    assert f"({bits['n-gram']:.2f}; 95 % interval" in flat
    assert f"({bits['n-gram + copying']:.2f})" in flat
    assert f"({bits['first']:.2f};" in flat
    for one, said in (
        (gains["continue"]["over n-gram"], "{0} % less than the best interpolated n-gram"),
        (gains["continue"]["over n-gram"], "95 % interval {1}–{2} %"),
        (gains["continue"]["over n-gram + copying"], "{0} % less than that n-gram mixed"),
        (gains["continue"]["over first"], "{0} % less than our first model"),
        (gains["infill"]["over composer as continue"], "a gap costs {0} % fewer bits ({1}–{2} %)"),
        (gains["accompany"]["over composer as continue"], "a part {0} % fewer ({1}–{2} %)"),
    ):
        assert said.format(*(f"{100 * one[name]:.0f}" for name in ("gain", "low", "high"))) in flat
    seen = json.loads((ROOT / "benchmarks" / "results" / "continuations.json").read_text("utf-8"))["summary"]
    assert seen["outputs"] == 1000
    assert seen["with_faults"] == 0
    assert f"{100 * seen['human_copied_bars']:.1f} %" in README
