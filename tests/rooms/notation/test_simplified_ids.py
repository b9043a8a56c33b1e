"""Scores told straight in ids: the same as a vocabulary's ids of the text, for every form of the notation."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from cadenza.base.compiled import Loop
from cadenza.formats import midi
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation.simplified import SimplifiedMidi, telling
from cadenza.score.edit import drop_bends
from cadenza.score.model import Metre, Note, Score, Track
from tests.strategies import examples, scores

COMPOSER = {"velocity": "bins:32", "resolution": "grid:24", "header": "first", "durations": "table"}
FORMS = [
    *SimplifiedMidi.variants,
    COMPOSER,
    COMPOSER | {"layout": "by_track"},
    COMPOSER | {"bars": True, "compact": True},
    COMPOSER | {"bars": True, "compact": True, "layout": "by_track"},
    {"resolution": "flat:24", "bars": True},
    {"profile": "published", "bend": "none", "resolution": "grid:24", "durations": "table"},
]


def told(options: dict, score: Score, fields: list[str] | None = None) -> tuple[list[int], list[int]]:
    """Ids from the text, and straight: by the compiled loop where there is one, which must say what columns say."""
    notation = SimplifiedMidi(**options)
    vocabulary = Vocabulary.of(notation.vocabulary() if fields is None else fields)
    ids = notation.ids(vocabulary.ids, vocabulary.tokenize)
    _ = telling.ARRANGE.now, telling.TELL.now  # no first work for NumPy
    direct = ids(score)
    for names in (("ARRANGE",), ("TELL",), ("ARRANGE", "TELL")):
        with pytest.MonkeyPatch.context() as patch:
            for name in names:
                patch.setattr(telling, name, Loop(len, plain_work=1 << 60))
            assert ids(score).tolist() == direct.tolist(), (options, names)
    return vocabulary.tokenize(notation.encode(score)), direct.tolist()


@settings(max_examples=examples(20), deadline=None, suppress_health_check=list(HealthCheck))
@given(score=scores())
def test_ids_are_those_of_the_text(score):
    for one, options in itertools.product((score, drop_bends()(score)), FORMS):  # drawing is what takes time
        text, direct = told(options, one)
        assert direct == text, options


def test_a_duration_that_is_rounded_beyond_the_last_bar_line_opens_a_bar():
    score = Score((Track.of([Note(843, 213, 60)]),), 24, metres=(Metre(0, 4, 4),), length_ticks=1056)
    barred = COMPOSER | {"bars": True, "compact": True}
    text, direct = told(barred, score)
    assert SimplifiedMidi(**barred).encode(score).endswith(":d216:t21 | | |")  # 843 + 216 lies beyond 1056
    assert direct == text


@pytest.mark.parametrize("options", FORMS[-6:], ids=[str(n) for n in range(6)])
def test_notes_within_a_models_reach_are_never_spelled(options):
    notes = [Note(12 * i, 6 + i % 7, 50 + i % 20, 1 + 9 * (i % 14)) for i in range(300)]
    score = Score((Track.of(notes, program=30), Track.of(notes[::3], is_drums=True)), 24, metres=(Metre(0, 3, 4),))
    text, direct = told(options, score)
    assert direct == text
    assert min(direct) >= 259  # no byte


def test_fields_that_are_no_token_are_spelled_in_their_places():
    score = Score((Track.of([Note(5000, 700, 60), Note(5000, 700, 67), Note(9000, 10, 60)]),))
    for options, gone in itertools.product(FORMS[-6:], ("p60", ":v95", "i0", "|", "t1", "\n")):
        fields = [field for field in SimplifiedMidi(**options).vocabulary() if field != gone]
        text, direct = told(options, score, fields)
        assert direct == text


def test_what_columns_cannot_hold_is_told_by_the_text():
    far = Score((Track.of([Note(1 << 45, 10, 60)]),))
    many = Score(tuple(Track.of([Note(i, 10, 60)]) for i in range(70)))
    for score in (far, many):
        text, direct = told({}, score)
        assert direct == text


def test_chords_of_thousands_of_notes_are_told_alike():
    """More in one place than the compiled loop sorts; rounding to the grid brings them there."""
    notes = [Note(i % 3, 1 + i * 7 % 11, 127 - i * 5 % 128, 1 + i % 127) for i in range(3000)]
    score = Score((Track.of(notes), Track.of(notes[::2], program=3)), 960)
    for options in FORMS[-6:]:
        text, direct = told(options, score)
        assert direct == text, options


def test_shared_files(shared_data: Path):
    files = sorted(path for path in shared_data.rglob("*") if path.suffix == ".mid")[::150]
    for path, options in zip(files, itertools.cycle(FORMS[-6:])):
        text, direct = told(options, midi.read_quickly(path))
        assert direct == text, path.name
