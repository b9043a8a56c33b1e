"""A corpus of recordings: what is heard becomes examples, what is not to be trusted a row with its reason."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cadenza import formats
from cadenza.app.cli.main import app
from cadenza.app.listening import Hearing
from cadenza.base.errors import ConfigError, FormatError
from cadenza.corpus.open import BuiltCorpus
from cadenza.score.model import Metre, Note, Score, Tempo, Track

pytest.importorskip("pyarrow", reason="corpora need the extra [corpus]")
soundfile = pytest.importorskip("soundfile")


def song(step: int) -> Score:
    notes = [Note(480 * n, 400, 55 + (step * n) % 17, 80) for n in range(24)]
    return Score((Track.of(notes, program=0),), tempos=(Tempo(0, 120.0),), metres=(Metre(0, 4, 4),))


@pytest.fixture
def takes(tmp_path: Path) -> Path:
    folder = tmp_path / "takes"
    folder.mkdir()
    for step in (5, 7):
        formats.write(song(step), folder / f"{step}.wav")
    formats.write(song(3), folder / "written.mid")
    noise = np.random.default_rng(0).normal(0, 0.1, 5 * 16_000)
    soundfile.write(folder / "noise.wav", noise, 16_000)
    soundfile.write(folder / "silence.wav", np.zeros(16_000), 16_000)
    (folder / "broken.mp3").write_bytes(b"no sound")
    return folder


def test_recordings_are_heard_and_doubts_are_rows(takes: Path, tmp_path: Path):
    out = tmp_path / "corpus"
    command = ["corpus", "build", str(takes), "-o", str(out), "--from-audio", "--workers", "1", "--set", "group=false"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    rows = list(BuiltCorpus.open(out).rows())
    assert {Path(row["path"]).name for row in rows} == {"5.wav", "7.wav", "written.mid"}
    heard = [row for row in rows if row["path"].endswith("5.wav")]
    assert sum(row["n_notes"] for row in heard) > 15
    with (out / "rejected.csv").open() as file:
        refused = {Path(row["path"]).name: row["reason"] for row in csv.DictReader(file)}
    assert set(refused) == {"noise.wav", "silence.wav", "broken.mp3"}
    # Who listens belongs to the corpus: with other bounds it would be another one.
    again = CliRunner().invoke(app, [*command, "--min-confidence", "0.7"])
    assert again.exit_code != 0


def test_without_the_ear_recordings_are_passed_over(takes: Path, tmp_path: Path):
    result = CliRunner().invoke(app, ["corpus", "build", str(takes), "-o", str(tmp_path / "corpus"), "--workers", "1"])
    assert result.exit_code == 0, result.output
    assert {Path(row["path"]).name for row in BuiltCorpus.open(tmp_path / "corpus").rows()} == {"written.mid"}


def test_what_the_ear_is_not_sure_of_is_refused(takes: Path):
    assert Hearing()(takes / "5.wav").n_notes > 15
    with pytest.raises(FormatError, match="confidence"):
        Hearing(min_confidence=0.999)(takes / "5.wav")
    with pytest.raises(FormatError, match="at least 1000 notes"):
        Hearing(min_notes=1000)(takes / "5.wav")
    with pytest.raises(ConfigError):
        Hearing(min_confidence=1.0)
