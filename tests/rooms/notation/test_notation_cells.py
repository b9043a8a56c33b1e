"""The cells of the notation table: what they tell can be read back, and what is broken is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from benchmarks import notation_music as music
from benchmarks.notation_cells import BOS, EOS, FIRST_BYTE, Cell, Codec, cells, joined_abc, joined_dadagp
from benchmarks.notation_page import factors
from benchmarks.notation_table import N_PARAMETERS, Guide, fields_by_token, judged, shape_of
from benchmarks.notation_texts import same_notes
from cadenza.base.errors import CadenzaError, ModelError, NotationError
from cadenza.notation.abc import Abc
from cadenza.notation.dadagp import DadaGP
from cadenza.score.edit import project
from cadenza.score.model import Metre, Note, Score, Tempo, Track
from tests.strategies import examples, scores

EVERY = [cell for cell in cells() if not cell.seed]
STREAMS = [cell for cell in EVERY if cell.split is not None]


def band() -> Score:
    rng = np.random.default_rng(3)
    notes = [Note(24 * i, 12 + 12 * int(rng.integers(2)), int(rng.integers(52, 76)), 80) for i in range(32)]
    bass = [Note(48 * i, 48, int(rng.integers(30, 45)), 100) for i in range(16)]
    drums = [Note(24 * i, 6, 36 + 2 * (i % 2), 60 + 30 * (i % 2)) for i in range(32)]
    tracks = (Track.of(notes, program=25), Track.of(bass, program=33), Track.of(drums, is_drums=True))
    return Score(tracks, 24, (Tempo(0, 120.0),), (Metre(0, 4, 4),), length_ticks=768)


def excerpt() -> music.Excerpt:
    found = music.common(band())
    assert found is not None
    return music.Excerpt("work", "made", *found)


@pytest.mark.parametrize("cell", EVERY, ids=lambda cell: cell.slug)
def test_every_cell_gives_the_same_notes_back(cell: Cell):
    one = excerpt()
    assert one.score.n_notes == band().n_notes
    tokens = cell.tokens(cell.fields(one))
    assert same_notes(cell.read(tokens), cell.score(one))
    codec = Codec.of([tokens])
    (ids,) = codec.ids([tokens])
    assert ids[0] == BOS
    assert ids[-1] == EOS
    assert codec.tokens(ids[1:]) == tokens
    (spelled,) = Codec.of([tokens[: len(tokens) // 2]]).ids([tokens])
    assert Codec.of([tokens[: len(tokens) // 2]]).tokens(spelled[1:]) == tokens
    assert any(map(cell.is_velocity, tokens)) == cell.loud


@pytest.mark.parametrize("cell", STREAMS, ids=lambda cell: cell.slug)
@settings(max_examples=examples(15), deadline=None, suppress_health_check=list(HealthCheck))
@given(score=scores())
def test_streams_of_any_score_read_back(cell: Cell, score: Score):
    notation = cell.notation
    bare = project(score, music.SIMPLIFIED.projection)  # without bends and effects, which these streams do not part
    try:
        fields = list(notation.fields(notation.encode(bare)))
    except CadenzaError:
        return
    assert notation.decode(notation.encode(bare)) == cell.read(cell.tokens(fields))


@pytest.mark.parametrize(
    "tokens", [["x", "2", "|"], ["A", "|"], ["x", "A", "x", "|"], [",", "|"], ["!", "x", "A", "|"]]
)
def test_broken_streams_of_abc_are_refused(tokens):
    with pytest.raises(NotationError):
        joined_abc(tokens)


@pytest.mark.parametrize(
    "tokens", [["clean0:note", "end"], ["s1", ":f2", "end"], ["drums:note", "k36", "wait:480", "end"], [":f3", "end"]]
)
def test_broken_streams_of_dadagp_are_refused(tokens):
    with pytest.raises(NotationError):
        joined_dadagp(tokens)


@pytest.mark.parametrize("cell", [one for one in EVERY if one.joined is None], ids=lambda cell: cell.slug)
def test_the_automaton_guides_a_text_to_its_end(cell: Cell):
    tokens = cell.tokens(cell.fields(excerpt()))
    codec = Codec.of([tokens])
    known = fields_by_token(cell, codec, [tokens])
    (ids,) = codec.ids([tokens])
    guide = Guide(cell.notation.grammar().begin(), [known[token] for token in codec.fields], ids[1:-1].tolist())
    assert not guide.takes(FIRST_BYTE)
    assert guide.takes(EOS)
    assert judged(cell, codec, ids)["valid"]
    assert not judged(cell, codec, np.insert(ids, 1, ids[1]))["valid"]
    assert not judged(cell, codec, ids[:-1])["valid"]
    with pytest.raises(ModelError):
        Guide(cell.notation.grammar().begin(), [known[token] for token in codec.fields], ids[2:-1].tolist())


def test_broken_ids_are_refused():
    codec = Codec(("p60",))
    for ids in ([BOS], [FIRST_BYTE + 65], [FIRST_BYTE + 65, len(codec) - 1]):
        with pytest.raises(NotationError):
            codec.tokens(ids)


def test_cells_have_equal_parameters():
    for n_vocabulary in (512, 640, 800, 1024):
        shape = shape_of(n_vocabulary)
        one = 2 * shape.width * shape.n_heads * shape.head_width + 2 * shape.width * shape.head_width
        layers = shape.n_layers * (one + 3 * shape.width * shape.mlp_width + 2 * shape.width)
        assert abs(n_vocabulary * shape.width + layers + shape.width - N_PARAMETERS) < 1e-3 * N_PARAMETERS


def test_names_tell_cells_apart_and_factors_pair_them():
    every = cells()
    assert len({cell.slug for cell in every}) == len(every)
    assert isinstance(EVERY[0].notation, type(music.SIMPLIFIED))
    assert {type(cell.notation) for cell in EVERY} == {type(music.SIMPLIFIED), Abc, DadaGP}
    rows = {cell.name: {"bits_per_note": {"value": 1.0 + (cell.streams == "split")}} for cell in every}
    said = factors(rows)
    assert "by track less interleaved: +0.000 bits per note in the mean of 8 pairs" in said[0]
    assert "split less joint: +1.000 bits per note in the mean of 9 pairs" in said[1]
    assert "+0.000 bits per note in the mean of 8 pairs" in said[2]
