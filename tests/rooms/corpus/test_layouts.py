"""Layouts of public datasets, on tiny folders of the same shape; the plain folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from cadenza import formats
from cadenza.base import recipes
from cadenza.base.config import load_config
from cadenza.base.errors import FormatError
from cadenza.corpus import sources
from cadenza.corpus.layouts import title_overlap
from cadenza.corpus.open import BuiltCorpus
from cadenza.corpus.pipeline import CorpusConfig, build
from cadenza.score.model import STANDARD_TUNINGS, Metre, Note, Score, Tempo, Track

TUNE = Score((Track.of([Note(480 * i, 480, 60 + i) for i in range(8)]),), tempos=(Tempo(0, 100.0),))
TAB = Score(
    (Track.of([Note(960 * i, 960, 45 + i) for i in range(4)], tuning=STANDARD_TUNINGS["guitar"], program=30),),
    ticks_per_quarter=960, metres=(Metre(0, 4, 4),),
)  # fmt: skip


def midi(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    formats.write(TUNE, path)


def test_maestro(tmp_path: Path):
    midi(tmp_path / "2004" / "a.midi")
    header = "canonical_composer,canonical_title,split,year,midi_filename,audio_filename,duration\n"
    (tmp_path / "maestro-v3.0.0.csv").write_text(
        header + "Frédéric Chopin,Étude op. 10,test,2004,2004/a.midi,2004/a.wav,9.0\n", "utf-8"
    )
    (recipe,) = sources.scan([tmp_path])
    piece = recipe.piece()
    assert (piece.source, piece.split, piece.work_id) == ("maestro", "test", "maestro/frederic-chopin/etude-op-10")
    assert (piece.score.composer, piece.score.title) == ("Frédéric Chopin", "Étude op. 10")


GIANTMIDI_COLUMNS = ("surname", "firstname", "music", "youtube_title", "youtube_id", "audio_solo_piano_prob", "split")
GIANTMIDI_ROWS = [
    ("Bach", "Johann", "Prelude in C", "Bach - Prelude in C (piano)", "id1", "0.98", "train"),
    ("Bach", "Johann", "Prelude in C", "Cat video", "id2", "0.99", "train"),
    ("Bach", "Johann", "Prelude in C", "Prelude in C for organ", "id3", "0.12", "train"),
    ("Field", "John", "Nocturne no 1 in E", "Nocturne in E", "id4", "0.5", "test"),  # 0.6 of its words are not enough …
    ("Field", "John", "Nocturne no in E", "Nocturne no 4 in E", "id5", "0.5", "test"),  # … and 0.5 is
]


def giantmidi(folder: Path) -> Path:
    table = "\n".join("\t".join(row) for row in (GIANTMIDI_COLUMNS, *GIANTMIDI_ROWS)) + "\n"
    folder.mkdir(exist_ok=True)
    (folder / "full_music_pieces_youtube_similarity.csv").write_text(table)
    for seed, row in enumerate(GIANTMIDI_ROWS):
        path = folder / "midis_v1.2" / f"{row[0]}, {row[1]}, {row[2]}, {row[4]}.mid"
        path.parent.mkdir(exist_ok=True)
        rng = np.random.default_rng(seed)
        notes = [Note(240 * i, 240, int(p)) for i, p in enumerate(rng.integers(50, 80, 200))]
        formats.write(Score((Track.of(notes),), tempos=(Tempo(0, 100.0),)), path)
    return folder


def test_giantmidi_brings_the_facts_of_its_table(tmp_path: Path):
    found = {recipe.path.rpartition(" ")[2]: recipe for recipe in sources.scan([giantmidi(tmp_path)])}
    assert [dict(found[f"id{n}.mid"].facts) for n in (1, 2, 3, 4)] == [
        {"title_overlap": 1.0, "solo_piano_probability": 0.98},
        {"title_overlap": 0.0, "solo_piano_probability": 0.99},
        {"title_overlap": 1.0, "solo_piano_probability": 0.12},
        {"title_overlap": 0.6, "solo_piano_probability": 0.5},
    ]
    assert found["id1.mid"].piece().score.composer == "Johann Bach"


def test_the_giantmidi_recipe_selects_as_published(tmp_path: Path):
    pytest.importorskip("pyarrow", reason="pyarrow (extra [corpus]) is not installed")
    config = load_config(CorpusConfig, [str(recipes.find("giantmidi-piano", "corpus"))])
    build([giantmidi(tmp_path / "giant")], tmp_path / "out", config)
    corpus = BuiltCorpus.open(tmp_path / "out")
    assert {row["path"][-7:] for row in corpus.rows()} == {"id1.mid", "id5.mid"}
    reasons = {r["path"][-7:]: r["reason"] for r in csv.DictReader((tmp_path / "out" / "rejected.csv").open())}
    assert {name: reason.split()[0] for name, reason in reasons.items()} == {
        "id2.mid": "title_overlap", "id3.mid": "solo_piano_probability", "id4.mid": "title_overlap",
    }  # fmt: skip
    assert corpus.check() == []


def test_a_table_with_a_word_for_a_probability_says_so(tmp_path: Path):
    folder = giantmidi(tmp_path)
    table = folder / "full_music_pieces_youtube_similarity.csv"
    table.write_text(table.read_text().replace("0.98", "likely"))
    with pytest.raises(FormatError, match="audio_solo_piano_prob"):
        sources.scan([folder])


@pytest.mark.parametrize(
    ("title", "other", "share"),
    [("A b c d", "a B", 0.5), ("Étude", "etude no 3", 1.0), ("", "x", 0.0), ("a-b", "b", 0.5)],
)
def test_title_overlap(title, other, share):
    assert title_overlap(title, other) == share


def test_urmp(tmp_path: Path):
    inner = tmp_path / "01_Jupiter_vn_vc"
    inner.mkdir()
    (inner / "Notes_1_vn_01_Jupiter.txt").write_text("0.500\t440.0\t0.25\n1.000\t450.0\t0.5\n")
    (inner / "Notes_2_vc_01_Jupiter.txt").write_text("0.000\t65.41\t1.0\n")
    (recipe,) = sources.scan([tmp_path])
    score = recipe.piece().score
    assert [t.program for t in score.tracks] == [40, 42]
    assert [(n.onset_ticks, n.duration_ticks, n.pitch) for n in score.tracks[0]] == [(500, 250, 69), (1000, 500, 69)]
    (inner / "Notes_2_vc_01_Jupiter.txt").write_text("not numbers\n")
    with pytest.raises(FormatError, match="onset, hertz"):
        recipe.piece()


def test_musicnet_from_labels_and_from_midi(tmp_path: Path):
    (tmp_path / "musicnet_metadata.csv").write_text(
        "id,composer,composition,movement,ensemble\n1727,Schubert,Piano Quintet,2. Andante,Quintet\n"
        "1728,Schubert,Piano Quintet,3. Scherzo,Quintet\n"
    )
    (tmp_path / "test_labels").mkdir()
    (tmp_path / "test_labels" / "1727.csv").write_text(
        "start_time,end_time,instrument,note,start_beat,end_beat,note_value\n"
        "44100,88200,41,67,0,1,Quarter\n0,22050,1,43,0,0.5,Eighth\n"
    )
    midi(tmp_path / "musicnet_midis" / "Schubert" / "1728_pq.mid")
    first, second = sources.scan([tmp_path])
    score = first.piece().score
    assert first.split == "test"
    assert [(t.program, t.notes["onset_ticks"].tolist()) for t in score.tracks] == [(0, [0]), (40, [1000])]
    assert second.work_id == first.work_id == "musicnet/schubert/piano-quintet"
    assert second.piece().score.n_notes == 8


def test_slakh(tmp_path: Path):
    midi(tmp_path / "validation" / "Track01501" / "all_src.mid")
    midi(tmp_path / "train" / "Track00001" / "all_src.mid")
    assert [(r.split, r.work_id) for r in sources.scan([tmp_path])] == [
        ("train", "slakh/Track00001"), ("validation", "slakh/Track01501"),
    ]  # fmt: skip


def test_dadagp_names_the_song(tmp_path: Path):
    inner = tmp_path / "O" / "Opeth"
    inner.mkdir(parents=True)
    for name in ("Opeth - Ghost", "Opeth - Ghost (2)", "Opeth - Ghost (ver 3 by someone)"):
        formats.write(TAB, inner / f"{name}.gp5")
        (inner / f"{name}.gp5.tokens.txt").write_text("artist:opeth\n")
    found = sources.scan([tmp_path])
    assert {r.work_id for r in found} == {"dadagp/opeth/ghost"}
    assert len(found) == 3
    assert (found[-1].piece().score.composer, found[-1].piece().score.title) == ("Opeth", "Ghost")


def test_guitarset(tmp_path: Path, shared_data: Path):
    (tmp_path / "annotation").mkdir()
    path = sorted((shared_data / "guitarset").glob("*.jams"))[0]
    (tmp_path / "annotation" / path.name).write_bytes(path.read_bytes())
    (recipe,) = sources.scan([tmp_path])
    assert (recipe.source, recipe.licence) == ("guitarset", "MIT")
    assert len(recipe.piece().score.tracks[0].bends)


def test_a_plain_folder(tmp_path: Path):
    midi(tmp_path / "mine" / "b side" / "Song One.mid")
    formats.write(TAB, tmp_path / "mine" / "riff.gp5")
    (tmp_path / "mine" / "cover.jpg").write_bytes(b"")
    found = sources.scan([tmp_path / "mine"])
    assert [r.path for r in found] == ["mine/b side/Song One.mid", "mine/riff.gp5"]
    assert [r.work_id for r in found] == ["mine/b-side/song-one", "mine/riff"]
    assert json.dumps([r.licence for r in found]) == '["unknown", "unknown"]'


def test_a_folder_of_collections(tmp_path: Path):
    midi(tmp_path / "slakh" / "Track00001" / "all_src.mid")
    midi(tmp_path / "mine" / "x.mid")
    assert {(r.source, r.work_id) for r in sources.scan([tmp_path])} == {
        ("slakh", "slakh/Track00001"), ("mine", "mine/x"),
    }  # fmt: skip
