"""Corpus: the store's identity, splits by work and shared music, variations, band arrangements, sources."""

import csv
import tempfile
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from cadenza.base.errors import FormatError
from cadenza.corpus import augment, band, sources, split
from cadenza.corpus.build import Corpus, build, rng_for
from cadenza.corpus.store import Piece, load_pieces, save_pieces
from cadenza.score.edit import project, transpose
from cadenza.score.model import (
    STANDARD_TUNINGS,
    BarMark,
    Bend,
    Key,
    Marker,
    Metre,
    Note,
    Score,
    Technique,
    Tempo,
    Track,
)
from cadenza.score.time import bar_table
from tests.strategies import scores


def tune(seed: int, bars: int = 16, low: int = 60) -> list[Note]:
    """A random walk in a C major scale with mixed note values."""
    rng = np.random.default_rng(seed)
    scale, place, at, notes = (0, 2, 4, 5, 7, 9, 11), 7, 0, []
    while at < bars * 1920:
        length = int(rng.choice([240, 480, 480, 720]))
        place = int(np.clip(place + rng.integers(-3, 4), 0, 13))
        notes.append(Note(at, length, low + scale[place % 7] + 12 * (place // 7)))
        at += length
    return notes


def quartet(seed: int, bars: int = 16) -> Score:
    tracks = [Track.of(tune(10 * seed + k, bars, low), name=str(k)) for k, low in enumerate((67, 60, 52, 40))]
    return Score(tracks=tuple(tracks), tempos=(Tempo(0, 100),), metres=(Metre(0, 4, 4),), length_ticks=bars * 1920)


def piece(score: Score, work: str, source: str = "openscore_quartets", **fields) -> Piece:
    return Piece(work, source, "CC0-1.0", "nobody", score, path=work, **fields)


def groove(number: int, style: str = "rock beat") -> Piece:
    hits = [Note(240 * i + 7, 30, 42, 60 + number) for i in range(64)] + [Note(960 * i, 30, 36, 100) for i in range(16)]
    track = Track.of(hits, is_drums=True, name="Drums")
    return piece(Score((track,), metres=(Metre(0, 4, 4),)), f"groove/{number}", "groove", split="train", style=style)


def test_pieces_come_back_equal(tmp_path):
    rich = Score(
        tracks=(
            Track.of(
                [Note(0, 480, 64, 90, (Bend(0, 0), Bend(240, 200)), 1, 0, Technique.VIBRATO, 1, 4), Note(480, 10, 50)],
                name="Gitarre",
                program=30,
                tuning=STANDARD_TUNINGS["guitar"],
                capo_fret=2,
            ),
            Track(name="empty", is_drums=True),
        ),
        ticks_per_quarter=960,
        tempos=(Tempo(0, 100 / 3),),
        metres=(Metre(0, 3, 4),),
        keys=(Key(0, -3, "minor"),),
        bars=(BarMark(2880, True, 3, (1, 2)),),
        markers=(Marker(0, "Strophe"),),
        title="Lied",
        composer="Ännchen",
        length_ticks=99_999,
    )
    pieces = [piece(rich, "a", style="x"), piece(quartet(1), "b", split="test")]
    save_pieces(tmp_path / "p.npz", pieces)
    assert load_pieces(tmp_path / "p.npz") == pieces
    (tmp_path / "junk.npz").write_bytes(b"junk")
    with pytest.raises(FormatError, match="saved pieces"):
        load_pieces(tmp_path / "junk.npz")


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(scores(max_tracks=2))
def test_any_score_is_stored_as_it_is(score):
    with tempfile.TemporaryDirectory() as folder:
        save_pieces(Path(folder) / "p.npz", [piece(score, "a")])
        assert load_pieces(Path(folder) / "p.npz") == [piece(score, "a")]


def test_split_shares_and_stability():
    counts = Counter(split.split_of(f"work {i}") for i in range(4000))
    assert abs(counts["train"] / 4000 - 0.9) < 0.02
    assert abs(counts["test"] / 4000 - 0.05) < 0.015
    assert [split.split_of(name) for name in ("a", "b", "mozart")] == ["train", "train", "train"]


def test_the_same_tune_in_another_key_tempo_and_voice_is_one_group():
    one, other = quartet(1), quartet(2)
    moved = replace(transpose(5)(one), ticks_per_quarter=960)  # half the note values
    moved = moved.with_tracks([*other.tracks[:2], moved.tracks[0]])
    found = split.groups(
        [piece(one, "b-one"), piece(other, "c-other"), piece(quartet(3), "a-third"), piece(moved, "d-moved")]
    )
    assert found["d-moved"] == found["b-one"] == found["c-other"] == "b-one"
    assert found["a-third"] == "a-third"


def test_assign_keeps_official_splits_and_groups_together():
    pieces = [piece(quartet(i), f"w{i}") for i in range(30)] + [
        piece(transpose(3)(quartet(i)), f"v{i}") for i in range(30)
    ]
    done = split.assign([*pieces, groove(1)])
    by_number = defaultdict(set)
    for p in done[:-1]:
        by_number[p.work_id[1:]].add(p.split)
    assert all(len(splits) == 1 for splits in by_number.values())
    assert len({s for splits in by_number.values() for s in splits}) > 1
    assert done[-1].split == "train"


def test_variations_follow_from_the_seed_and_stay_on_the_strings():
    riff = Score(
        (Track.of([Note(0, 480, 41, string=6, fret=1), Note(480, 480, 86)], tuning=STANDARD_TUNINGS["guitar"]),)
    )
    drawn = [augment.draw(np.random.default_rng(i)) for i in range(200)]
    assert drawn[7].record == augment.draw(np.random.default_rng(7)).record
    assert {v.record["semitones"] for v in drawn} == set(range(-5, 7))
    assert all(0.8 <= v.record["tempo_factor"] <= 1.25 for v in drawn)
    for variation in drawn:
        pitches = variation(riff).tracks[0].notes["pitch"]
        assert pitches.min() >= 40
        assert pitches.max() <= 88
    down = project(riff, [transpose(-5), augment.fold_into_tuning()])
    assert [(n.pitch, n.string) for n in down.tracks[0]] == [(48, 0), (81, 0)]
    harmonic = Note(0, 480, 100, string=1, fret=12, techniques=Technique.HARMONIC_PINCH | Technique.HARMONIC_TAPPED)
    high = Score((Track.of([harmonic], tuning=STANDARD_TUNINGS["guitar"]),))
    assert augment.fold_into_tuning().apply(high) == high


def arranged(seed: int, score: Score):
    kit = band.drum_kit([groove(1), groove(2), groove(3, "rock fill")])
    return band.arrange(score, kit, np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(12))
def test_a_band_plays_on_the_grid_within_its_instruments(seed):
    record, score = arranged(seed, quartet(seed, 40))
    assert score.ticks_per_quarter == 24
    assert arranged(seed, quartet(seed, 40))[1] == score
    assert record["bars"][1] - record["bars"][0] == len(bar_table(score)) <= 64
    names = [t.name for t in score.tracks]
    assert names[0] == "Lead Guitar"
    assert names[-2:] == ["Bass", "Drums"]
    for track in score.tracks[:-1]:
        low, high = band.BASS if track.name == "Bass" else band.GUITAR
        assert track.notes["pitch"].min() >= low
        assert track.notes["pitch"].max() <= high
        assert track.notes["duration_ticks"].min() > 0
        assert track.tuning == STANDARD_TUNINGS["bass" if track.name == "Bass" else "guitar"]
        by_pitch = np.sort(track.notes, order=["pitch", "onset_ticks"])
        same = by_pitch["pitch"][1:] == by_pitch["pitch"][:-1]
        ends = by_pitch["onset_ticks"] + by_pitch["duration_ticks"]
        assert (by_pitch["onset_ticks"][1:] >= ends[:-1])[same].all()
    drums = score.tracks[-1]
    assert drums.is_drums
    assert set(drums.notes["pitch"].tolist()) == {36, 42}
    kicks = drums.notes["onset_ticks"][drums.notes["pitch"] == 36]
    assert (kicks % 48 == 0).all()  # quantised, and bars of the groove on bars of the piece


def test_the_lead_is_the_melody_moved_by_octaves_and_the_key():
    score = quartet(5)
    record, made = arranged(3, score)
    melody = score.tracks[0].notes
    lead = made.tracks[0].notes
    assert record["lead"] == "voice"
    assert np.array_equal(lead["onset_ticks"] * 20, melody["onset_ticks"])
    assert {int(x) for x in (lead["pitch"] - melody["pitch"] - record["semitones"]) % 12} == {0}


def test_chords_are_found():
    triads = [(48, 64, 67), (53, 65, 69), (55, 62, 71), (45, 60, 64)]  # C, F, G, a
    notes = np.concatenate([Track.of([Note(96 * i, 96, p) for p in chord]).notes for i, chord in enumerate(triads)])
    table = bar_table(Score(ticks_per_quarter=24, length_ticks=4 * 96))
    chords = band._chords(notes, table, 24)
    assert [(c.start, c.stop, c.root, c.third) for c in chords] == [
        (0, 96, 0, 4), (96, 192, 5, 4), (192, 288, 7, 4), (288, 384, 9, 3),
    ]  # fmt: skip


def test_drums_are_cut_on_bar_lines_of_another_metre():
    kit = band.drum_kit([groove(1), groove(2)])
    table = bar_table(
        Score(ticks_per_quarter=24, metres=(Metre(0, 3, 4),), bars=(BarMark(24),), length_ticks=24 + 72 * 6)
    )
    notes, record = band._drums(kit, table, np.random.default_rng(1))
    assert record["metre"] == "4/4"
    kicks = notes["onset_ticks"][notes["pitch"] == 36]
    assert (((kicks - 24) % 72) % 48 == 0).all()
    assert {24 + 72 * i for i in range(6)} <= set(kicks.tolist())


def test_too_short_or_too_thin_gives_none():
    assert arranged(0, quartet(1, 4)) is None
    assert arranged(0, Score((Track.of([Note(0, 1920 * 20, 60)]),))) is None


COLUMNS = ("drummer", "session", "id", "style", "bpm", "beat_type", "time_signature", "midi_filename", "split")


def test_build_from_a_folder(tmp_path):
    folder = tmp_path / "groove"
    folder.mkdir()
    with (folder / "info.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for name, part in (("a", "train"), ("b", "test"), ("twin", "test"), ("missing", "train")):
            writer.writerow(["d", "s", name, "rock", "97", "beat", "3-4", f"{name}.mid", part])
    for name, key in (("a", 22), ("b", 36), ("twin", 36)):
        track = mido.MidiTrack()
        for pitch in (key, 38):
            track.append(mido.Message("note_on", channel=9, note=pitch, velocity=90))
            track.append(mido.Message("note_off", channel=9, note=pitch, time=480))
        mido.MidiFile(tracks=[track], ticks_per_beat=480).save(folder / f"{name}.mid")
    rejects = build(tmp_path, tmp_path / "out.npz")
    assert [path for path, _ in rejects] == ["groove/twin.mid", "groove/missing.mid"]
    corpus = Corpus(tmp_path / "out.npz")
    (only,) = corpus.base("train")
    assert only.score.tempos == (Tempo(0, 97),)
    assert only.score.metres == (Metre(0, 3, 4),)
    assert only.score.tracks[0].notes["pitch"].tolist() == [42, 38]
    assert only.licence == "CC-BY-4.0"
    with pytest.raises(FormatError, match="folder with music"):
        build(tmp_path / "groove", tmp_path / "out.npz")


def test_draws_depend_on_seed_and_name_only():
    assert rng_for(1, "a", 0).integers(1 << 30) == rng_for(1, "a", 0).integers(1 << 30)
    assert len({int(rng_for(s, n, 0).integers(1 << 30)) for s in (1, 2) for n in ("a", "b")}) == 4


@pytest.mark.slow
@pytest.mark.shared
def test_hymns_and_mutopia_share_tunes_and_never_a_split(shared_data):
    pytest.importorskip("symusic", reason="the hymns' ABC is read through symusic for now")
    found = []
    rejects = []
    for name in ("openhymnal", "mutopia", "guitarset"):
        for recipe in sources.SOURCES[name](shared_data / name):
            try:
                found.append(recipe.piece())
            except FormatError as error:
                rejects.append((recipe.path, str(error)))
    assert len(found) >= 1295
    assert len(rejects) <= 5
    done = split.assign(found)
    splits = defaultdict(set)
    for p in done:
        splits[p.work_id].add(p.split)
    assert all(len(s) == 1 for s in splits.values())
    group = split.groups(found)
    # tunes that both collections hold, under different names
    for hymn, setting in (
        ("openhymnal/what-child-is-this", "mutopia/traditional/greensleaves"),
        ("openhymnal/joy-to-the-world", "mutopia/handelgf/antioch-hymntune"),
        ("openhymnal/abide-with-me", "mutopia/monkwh/eventide-hymntune"),
    ):
        assert group[hymn] == group[setting]
    sizes = Counter(group.values())
    assert max(sizes.values()) <= 12, sizes.most_common(3)
