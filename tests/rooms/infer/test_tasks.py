"""Fill in, accompany, begin: by models with random weights, taught these tasks or not; the rest stays note for note."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cadenza.base.errors import RangeError
from cadenza.corpus.task import AFTER, BEFORE, GIVEN, MIDDLE, PART
from cadenza.infer.choose import Decoding
from cadenza.infer.generate import take_all, to_accompany, to_begin, to_continue, to_infill
from cadenza.infer.model import ComposerModel, load_model
from cadenza.infer.prompt import read_gap, read_others
from cadenza.infer.write import Manner
from cadenza.score.fingering import playable
from cadenza.score.model import STANDARD_TUNINGS, Metre, Score, Tempo, Track
from cadenza.score.time import bar_table
from tests.rooms.infer.seeds import all_seeds
from tests.rooms.infer.tiny import write_composer

SEEDS = all_seeds()


@pytest.fixture(scope="module", params=["taught to continue", "taught all"])
def composer(request, tmp_path_factory) -> ComposerModel:
    folder = write_composer(tmp_path_factory.mktemp("composer"), context_tokens=1024)
    if request.param == "taught all":
        saved = json.loads((folder / "notation.json").read_text())
        (folder / "notation.json").write_text(json.dumps(saved | {"tasks": ["continue", "infill", "accompany"]}))
    return load_model(folder)


def takes(score: Score, composer: ComposerModel, stages, n: int = 1):
    return take_all(score, composer, list(stages), Manner(Decoding(), composer.loops), range(n))


def stays(before: Track, after: Track, start: int = 0, stop: int = 0) -> None:
    """Outside [start, stop) the track is what it was."""
    outside = [t.keep((t.notes["onset_ticks"] < start) | (t.notes["onset_ticks"] >= stop)) for t in (before, after)]
    assert outside[0].notes.tobytes() == outside[1].notes.tobytes()
    assert outside[0].bends.tobytes() == outside[1].bends.tobytes()


def is_sound(track: Track, start: int, stop: int) -> None:
    onset = track.notes["onset_ticks"]
    new = track.keep((onset >= start) & (onset < stop))
    assert len(new)
    assert (new.notes["onset_ticks"] + new.notes["duration_ticks"] <= stop).all()
    if track.tuning and not track.is_drums:
        for at in np.unique(new.notes["onset_ticks"]):
            chord = new.notes["pitch"][new.notes["onset_ticks"] == at]
            assert playable(tuple(chord.tolist()), track.tuning, track.capo_fret)


@pytest.mark.parametrize("gap", [(1, 2), (0, 1), (3, 4), (1, 3)])
@pytest.mark.parametrize("only", [None, (1,), (0, 2)])
def test_a_gap_is_filled_and_nothing_else_changes(gap, only, composer: ComposerModel) -> None:
    seed = SEEDS["band"]
    (take,) = takes(seed, composer, to_infill(composer, *gap, only))
    table = bar_table(seed)
    start, stop = int(table.starts_ticks[gap[0]]), int(table.ends_ticks[gap[1] - 1])
    assert len(bar_table(take.score)) == len(table)
    assert take.score.length_ticks == seed.length_ticks
    assert take.n_notes > 0
    for place, (before, after) in enumerate(zip(seed.tracks, take.score.tracks, strict=True)):
        if only is None or place in only:
            stays(before, after, start, stop)
        else:
            assert before == after
    assert take.score.bars == seed.bars
    assert [part for part in take.written if part[0] not in (only or range(4))] == []


@pytest.mark.parametrize("part", ["bass", "drums"])
def test_a_part_is_added_beside_what_plays(part, composer: ComposerModel) -> None:
    seed = SEEDS["guitar"]
    new = Track(name="Drums", is_drums=True) if part == "drums" else Track("Bass", 33, tuning=STANDARD_TUNINGS["bass"])
    whole = seed.with_tracks([*seed.tracks, new])
    (take,) = takes(whole, composer, to_accompany(whole, composer, 1))
    assert take.score.tracks[0] == seed.tracks[0]
    is_sound(take.score.tracks[1], 0, take.score.length_ticks)
    assert take.score.length_ticks == seed.length_ticks
    assert take.n_notes == len(take.score.tracks[1])


def test_a_part_of_a_long_piece_is_written_passage_by_passage(composer: ComposerModel) -> None:
    seed = SEEDS["guitar"]
    long = seed
    for _ in range(2):
        (take,) = takes(long, composer, to_continue(composer, 8))
        long = take.score
    whole = long.with_tracks([*long.tracks, Track("Keys", 4)])
    (take,) = takes(whole, composer, to_accompany(whole, composer, 1))
    assert take.score.tracks[0] == long.tracks[0]
    assert len(take.score.tracks[1])
    assert len(take.bars) == 20


def test_a_piece_begins_from_nothing(composer: ComposerModel) -> None:
    tracks = (Track("Guitar", 30, tuning=STANDARD_TUNINGS["guitar"]), Track("Drums", is_drums=True))
    empty = Score(tracks, 480, (Tempo(0, 141.0),), (Metre(0, 7, 8),))
    (take,) = takes(empty, composer, to_begin(composer, 3))
    assert take.score.length_ticks == 3 * 7 * 240
    assert take.score.tempos == empty.tempos
    assert take.n_notes == take.score.n_notes > 0


def test_takes_in_a_batch_and_alone_are_the_same_for_decoders_of_equal_rows(composer: ComposerModel) -> None:
    both = takes(SEEDS["guitar"], composer, to_continue(composer, 2), n=2)
    assert both[0].score != both[1].score
    assert [take.score for take in both] == [
        take.score for n in (0, 1) for take in
        take_all(SEEDS["guitar"], composer, list(to_continue(composer, 2)), Manner(Decoding(), composer.loops), [n])
    ]  # fmt: skip


def test_only_named_tracks_go_on(composer: ComposerModel) -> None:
    seed = SEEDS["band"]
    (take,) = takes(seed, composer, to_continue(composer, 3, only=(2,)))
    for place, (before, after) in enumerate(zip(seed.tracks, take.score.tracks, strict=True)):
        assert (len(after) > len(before)) == (place == 2)


def test_a_continuation_in_another_metre(composer: ComposerModel) -> None:
    (take,) = takes(SEEDS["guitar"], composer, to_continue(composer, 4, metre=Metre(0, 3, 4)))
    assert take.score.length_ticks == SEEDS["guitar"].length_ticks + 4 * 3 * 480


def test_the_text_is_that_of_the_corpus(composer: ComposerModel) -> None:
    gap = read_gap(SEEDS["band"], composer, 1, 2)
    seed = SEEDS["guitar"]
    others = read_others(seed.with_tracks([*seed.tracks, Track("Keys", 4)]), composer, 0, 4, 1)
    if "infill" not in composer.tasks:
        assert gap.opening == others.opening == ""
        assert gap.remarks
        assert others.given is not None
        return
    lines = gap.opening.split("\n")
    assert [lines[0], lines[3], *lines[6:]] == [BEFORE, AFTER, f"{MIDDLE} 1", ""]
    before, after = (composer.notation.decode("\n".join(lines[at : at + 2])) for at in (1, 4))
    assert len(bar_table(before)) == 1
    assert len(bar_table(after)) == 2
    assert gap.header == lines[1] + "\n"
    lines = others.opening.split("\n")
    assert [lines[0], *lines[3:]] == [GIVEN, f"{PART} keys", ""]
    assert others.header.endswith("i0:g4\n")


def test_what_cannot_be_filled_is_refused(composer: ComposerModel) -> None:
    for seed, gap in (("band", (3, 5)), ("band", (2, 2)), ("change of metre", (1, 3)), ("pickup", (0, 1))):
        with pytest.raises(RangeError):
            takes(SEEDS[seed], composer, to_infill(composer, *gap))
