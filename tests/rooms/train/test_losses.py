"""DITTO and unlikelihood against cases computed by hand, and the rows that they are computed on."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("transformers", reason="training needs the extra [train]")

from cadenza.corpus.open import BuiltCorpus  # noqa: E402
from cadenza.model.vocabulary import Vocabulary  # noqa: E402
from cadenza.train import losses  # noqa: E402
from cadenza.train.losses import RepetitionRows, repeats  # noqa: E402
from cadenza.train.rows import IGNORED, tokenize_rows  # noqa: E402


def logits_for(probabilities: list[list[float]]) -> torch.Tensor:
    """Logits (1, T, V) whose softmax are these rows."""
    return torch.tensor([[[math.log(p) for p in row] for row in probabilities]], dtype=torch.float32)


def test_cross_entropy_counts_targets_alone():
    logits = logits_for([[0.5, 0.25, 0.25], [0.1, 0.2, 0.7], [0.6, 0.3, 0.1], [1 / 3, 1 / 3, 1 / 3]])
    labels = torch.tensor([[0, IGNORED, 2, 1]])
    # Token 2 is predicted after token 1, with 0.7; token 3 after token 2, with 0.3.
    assert float(losses.cross_entropy_sum(logits, labels)) == pytest.approx(-math.log(0.7) - math.log(0.3), rel=1e-6)


@pytest.mark.parametrize("size", [64, 2**22])
def test_loss_at_the_head_is_that_of_whole_logits(monkeypatch, size):
    """Value and gradients, whatever the slices; also where adapters wrap a tied head."""
    import peft
    from transformers import LlamaConfig, LlamaForCausalLM

    from cadenza.train import head

    monkeypatch.setattr(head, "SLICE", size)
    torch.manual_seed(0)
    shape = LlamaConfig(
        vocab_size=40, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        tie_word_embeddings=True,
    )  # fmt: skip
    plain = LlamaForCausalLM(shape)
    adapted = peft.get_peft_model(
        LlamaForCausalLM(shape),
        peft.LoraConfig(
            task_type="CAUSAL_LM", target_modules="all-linear", trainable_token_indices={"embed_tokens": [38, 39]}
        ),
    )
    ids = torch.randint(0, 40, (3, 50))
    labels = ids.clone()
    labels[:, :20] = IGNORED
    for model in (plain, adapted):
        assert head.is_plain(model)
        found = []
        for sliced in (False, True):
            model.zero_grad()
            if sliced:
                with head.summed_loss(head.head_of(model), labels):
                    loss = model(input_ids=ids).logits
            else:
                loss = losses.cross_entropy_sum(model(input_ids=ids).logits, labels)
            (loss / 90).backward()
            found.append({name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None})
            found[-1]["loss"] = loss.detach()
        assert found[0].keys() == found[1].keys()
        for name, wanted in found[0].items():
            assert torch.allclose(found[1][name], wanted, rtol=1e-4, atol=1e-6), name
        with torch.no_grad(), head.summed_loss(head.head_of(model), torch.full_like(ids, IGNORED)):
            assert float(model(input_ids=ids).logits) == 0.0


# A prefix of one token, then the unit (1, 2) three times: ids 0 | 1 2 | 1 2 | 1 2, predicted one place earlier.
IDS = np.array([[0, 1, 2, 1, 2, 1, 2]])
P = [0.2, 0.3, 0.5, 0.4, 0.9, 0.1]  # of tokens 1 … 6
ROWS = RepetitionRows(IDS, np.array([1]), np.array([2]))


def ditto_logits() -> torch.Tensor:
    rows = []
    for place, p in enumerate(P):
        row = [(1 - p) / 2] * 3
        row[IDS[0, place + 1]] = p
        rows.append(row)
    return logits_for([*rows, [1 / 3] * 3])


@pytest.mark.parametrize(
    ("from_copy", "excess", "expected"),
    [
        # Second copy: tokens 3, 4 against 1, 2; third: 5, 6 against 3, 4; decay 0.5.
        (2, False, [0.5 - 0.1, 0.4 - 0.15, 0.9 - 0.25, abs(0.1 - 0.2)]),
        (3, False, [0.9 - 0.25, abs(0.1 - 0.2)]),
        (2, True, [0.4, 0.25, 0.65, 0.0]),
    ],
)
def test_ditto_equals_a_case_by_hand(from_copy, excess, expected):
    found = losses.ditto(ditto_logits(), ROWS, 0.5, from_copy, excess)
    wanted = np.mean([-math.log(1 - difference) for difference in expected])
    assert float(found) == pytest.approx(wanted, rel=1e-5)


def test_ditto_stops_the_gradient_of_the_copy_before():
    logits = ditto_logits().requires_grad_()
    losses.ditto(logits, ROWS).backward()
    moved = logits.grad.abs().sum(-1)[0] > 0
    # Places 2 … 5 predict the penalised tokens 3 … 6; places 0 and 1 those of the first copy.
    assert moved.tolist() == [False, False, True, True, True, True, False]


def test_token_unlikelihood_equals_a_case_by_hand():
    # A document 0 1 0 2, then another 1 2: only earlier tokens of the same document count, never the target itself.
    p = [[0.5, 0.3, 0.2], [0.6, 0.2, 0.2], [0.3, 0.3, 0.4], [0.1, 0.1, 0.8], [0.25, 0.25, 0.5], [1 / 3, 1 / 3, 1 / 3]]
    ids = torch.tensor([[0, 1, 0, 2, 1, 2]])
    labels = torch.tensor([[IGNORED, 1, 0, 2, IGNORED, 2]])
    places = torch.tensor([[0, 1, 2, 3, 0, 1]])
    found = float(losses.token_unlikelihood(logits_for(p), ids, labels, places))
    wanted = -math.log(1 - 0.5)  # 1 after 0: candidate 0
    wanted += -math.log(1 - 0.2)  # 0 after 0 1: candidate 1
    wanted += -math.log(1 - 0.3) - math.log(1 - 0.3)  # 2 after 0 1 0: candidates 0, 1
    wanted += -math.log(1 - 0.25)  # 2 after 1: candidate 1
    assert found == pytest.approx(wanted, rel=1e-5)


def test_sequence_unlikelihood_equals_a_case_by_hand():
    ids = torch.tensor([[0, 1, 0, 1, 0, 1, 0]])
    p = 0.75
    logits = logits_for([[p, 1 - p] if token == 0 else [1 - p, p] for token in [1, 0, 1, 0, 1, 0, 0]])
    # The continuation after one given token is 1 0 1 0 1 0: its 4-grams at 0, 1, 2 are 1010, 0101, 1010: 2 … 5 repeat.
    assert repeats(ids[0, 1:].numpy()).tolist() == [False, False, True, True, True, True]
    assert float(losses.sequence_unlikelihood(logits, ids, 1)) == pytest.approx(-math.log(1 - p), rel=1e-5)
    assert float(losses.sequence_unlikelihood(logits[:, :5], ids[:, :5], 1)) == 0.0


def test_repetition_rows_repeat_whole_bars(built_corpus):
    corpus = BuiltCorpus.open(built_corpus)
    codec = Vocabulary.of(corpus.notation.vocabulary())
    documents = tokenize_rows(corpus.rows("train"), codec, corpus.notation.unit_start, 4096)
    found = losses.repetition_rows(documents, 30, 300, 2, np.random.default_rng(0))
    bar = codec.id_of("|")
    for ids, start, period in zip(found.ids, found.starts, found.periods, strict=True):
        unit = ids[start : start + period]
        assert (np.resize(unit, 300 - start) == ids[start:]).all()
        assert start + 3 * period <= 300
        assert 1 <= (unit == bar).sum() <= 2
        assert unit[0] == bar
    again = losses.repetition_rows(documents, 30, 300, 2, np.random.default_rng(0))
    assert (again.ids == found.ids).all()
    phrases = losses.repetition_rows(documents, 30, 900, 3, np.random.default_rng(0), least_unit_bars=2)
    for ids, start, period in zip(phrases.ids, phrases.starts, phrases.periods, strict=True):
        assert 2 <= (ids[start : start + period] == bar).sum() <= 3


def test_repetition_rows_without_bars(built_corpus):
    corpus = BuiltCorpus.open(built_corpus)
    documents = tokenize_rows(corpus.rows("train"), Vocabulary.of(corpus.notation.vocabulary()), "", 4096)
    found = losses.repetition_rows(documents, 8, 200, 2, np.random.default_rng(0))
    assert (found.starts + 3 * found.periods <= 200).all()
