"""Transposing ids is transposing the music, drums and instruments' ranges kept."""

import numpy as np
import pytest

from cadenza.base.errors import ConfigError
from cadenza.corpus.excerpts import MODEL_NOTATION, model_view
from cadenza.model.vocabulary import Vocabulary
from cadenza.score.edit import transpose
from cadenza.score.model import Metre, Note, Score, Tempo, Track
from cadenza.train import rows
from cadenza.train.rows import IGNORED, RowSet
from cadenza.train.variation import Variation

CODEC = Vocabulary.of(MODEL_NOTATION.vocabulary())


def piece(low: int = 50) -> Score:
    guitar = Track.of([Note(24 * i, 24, low + i % 5, 80) for i in range(16)], name="g", program=29)
    flute = Track.of([Note(48 * i, 36, 70 + i % 3, 70) for i in range(8)], name="f", program=73)
    drums = Track.of([Note(12 * i, 6, 36 + 2 * (i % 4), 90) for i in range(32)], name="d", is_drums=True)
    return Score((guitar, flute, drums), 24, (Tempo(0, 120.0),), (Metre(0, 4, 4),), length_ticks=384)


def documents(*pairs: tuple[str, str]) -> rows.Documents:
    told = [{"prompt": p, "completion": c, "n_notes": 1, "seconds": 1.0, "task": "infill"} for p, c in pairs]
    return rows.tokenize_rows(told, CODEC, MODEL_NOTATION.unit_start, 4096)


def text_of(ids: np.ndarray) -> str:
    return CODEC.detokenize([int(one) for one in ids])


def encode(score: Score) -> str:
    return MODEL_NOTATION.encode(model_view(score))


def prompt_of(score: Score) -> str:
    return f"before:\n{encode(score)}\nafter:\n{encode(score)}\nbetween: 4\n"


@pytest.mark.parametrize("semitones", [-3, 0, 5])
def test_moved_ids_tell_the_moved_music(semitones):
    score = piece()
    made = documents((prompt_of(score), encode(score)))
    vary = Variation.of(CODEC, made, (semitones, semitones), (1.0, 1.0), seed=0)
    moved = transpose(semitones, "refuse")(score)
    assert text_of(vary(0, 0, made)) == prompt_of(moved) + encode(moved)


def test_no_note_leaves_its_instrument():
    made = documents(("", encode(piece(low=40))))  # the guitar's range begins at 38
    vary = Variation.of(CODEC, made, (-12, 12), (1.0, 1.0), seed=0)
    assert (vary.down[0], vary.up[0]) == (2, 99 - 72)  # the flute reaches to 99
    wanted = encode(transpose(-2, "refuse")(piece(low=40)))
    assert wanted in {text_of(vary(0, visit, made)) for visit in range(200)}


def test_a_tempo_goes_to_the_nearest_that_is_a_token():
    made = documents(("", encode(piece())))
    vary = Variation.of(CODEC, made, (0, 0), (1.5, 1.5), seed=0)
    assert text_of(vary(0, 0, made)) == encode(piece()).replace("w120 ", "w180 ", 1)


def test_a_visit_is_drawn_anew_and_always_the_same():
    made = documents(("", encode(piece())))
    vary = Variation.of(CODEC, made, (-5, 6), (0.8, 1.25), seed=3)
    seen = [vary(0, visit, made).tolist() for visit in range(12)]
    assert seen == [vary(0, visit, made).tolist() for visit in range(12)]
    assert len({tuple(one) for one in seen}) > 6


def test_rows_learn_what_they_show():
    made = documents((prompt_of(piece()), encode(piece())), ("", encode(piece())))
    vary = Variation.of(CODEC, made, (2, 2), (1.0, 1.0), seed=0)
    data = RowSet(made, [[0, 1]], vary, n_visits=3)
    assert len(data) == 3
    row = data[2]
    learned = row["labels"] != IGNORED
    assert (row["labels"][learned] == row["input_ids"][learned]).all()
    assert learned.sum() == (RowSet(made, [[0, 1]])[0]["labels"] != IGNORED).sum()


def test_a_vocabulary_without_pitches_is_refused():
    made = documents(("", encode(piece())))
    with pytest.raises(ConfigError, match="tokens for pitches"):
        Variation.of(Vocabulary.of(("a", "b")), made, (0, 1), (1.0, 1.0), 0)
