"""Corpus rows → documents → batches: what is learned, where texts are cut, and that packed rows do not leak."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
transformers = pytest.importorskip("transformers", reason="training needs the extra [train]")

from cadenza.base.errors import ConfigError, FormatError  # noqa: E402
from cadenza.corpus.open import BuiltCorpus  # noqa: E402
from cadenza.model.hub_vocabulary import HubVocabulary  # noqa: E402
from cadenza.model.vocabulary import EOS, Vocabulary  # noqa: E402
from cadenza.train import rows  # noqa: E402
from cadenza.train.losses import cross_entropy_sum  # noqa: E402
from cadenza.train.rows import IGNORED, Collate, Documents, RowSet, pack, tokenize_rows, tokenize_units, units  # noqa: E402
from tests import tiny_models  # noqa: E402


@pytest.fixture(scope="module")
def corpus(built_corpus):
    return BuiltCorpus.open(built_corpus)


@pytest.fixture(scope="module")
def documents(corpus):
    return made(corpus)


def made(corpus, codec=None, context=4096, **options) -> Documents:
    codec = codec or Vocabulary.of(corpus.notation.vocabulary())
    return tokenize_rows(corpus.rows("train"), codec, corpus.notation.unit_start, context, **options)


def test_documents_say_their_rows(corpus, documents):
    codec = Vocabulary.of(corpus.notation.vocabulary())
    for index, row in enumerate(corpus.rows("train")):
        ids, labels = documents.document(index)
        assert codec.detokenize(ids.tolist()).split() == (row["prompt"] + row["completion"]).split()
        learned = ids[labels != IGNORED]
        assert codec.detokenize(learned.tolist()).split() == row["completion"].split()
        assert learned[-1] == EOS  # whatever fills the rows, the end is learned
        assert documents.n_notes[index] == row["n_notes"]


def test_the_end_is_learned_where_it_also_fills(corpus):
    """A tokenizer without a token for padding fills rows with its end: that is not learned, the end is."""
    codec = HubVocabulary(tiny_models.tokenizer())
    assert codec.pad_id == codec.eos_id
    found = made(corpus, codec)
    short, long = np.argsort(found.lengths)[[0, -1]]
    batch = Collate(codec.pad_id)([RowSet(found, [[int(index)]])[0] for index in (short, long)])
    n = int(found.lengths[short])
    assert (batch["input_ids"][0, n - 1 :] == codec.eos_id).all()
    assert batch["labels"][0, n - 1] == codec.eos_id
    assert (batch["labels"][0, n:] == IGNORED).all()
    assert batch["labels"][1, -1] == codec.eos_id


def test_units_begin_at_bars(corpus, documents):
    codec = Vocabulary.of(corpus.notation.vocabulary())
    bar = codec.id_of("|")
    for index in range(len(documents)):
        ids, labels = documents.document(index)
        places = documents.units_of(index)
        assert (ids[places[1:]] == bar).all()
        assert (np.flatnonzero((ids == bar) & (labels != IGNORED)) == places[ids[places] == bar]).all()


def test_whole_texts_are_learned_on_demand(corpus):
    found = made(corpus, loss_on="all")
    _, labels = found.document(0)
    assert (labels == IGNORED).sum() == 1  # <bos>


def test_long_documents_end_at_a_bar_line(corpus, documents):
    codec = Vocabulary.of(corpus.notation.vocabulary())
    room = int(documents.lengths.max()) - 5
    found = made(corpus, context=room)
    assert found.lengths.max() <= room
    cut = np.flatnonzero(found.n_notes < 0)
    assert len(cut) > 0
    assert found.n_cut == len(cut)
    for index in cut:
        ids, _ = found.document(int(index))
        assert ids[-1] != EOS
        text = codec.detokenize(ids.tolist())
        assert all(bar.strip() for bar in text.partition("\n")[2].split("|")[1:])
    with pytest.raises(FormatError, match="fits into 4 tokens"):
        made(corpus, context=4)


def test_text_tokens_do_not_straddle_prompt_or_bars(corpus):
    codec = HubVocabulary(tiny_models.tokenizer())
    for row in list(corpus.rows("train"))[:20]:
        parts = units(row["completion"], corpus.notation.unit_start)
        assert "".join(parts) == row["completion"]
        ids = tokenize_units(codec, parts)
        assert [codec.detokenize(part) for part in ids] == parts
    found = made(corpus, codec, 10_000)
    ids, labels = found.document(0)
    row = next(iter(corpus.rows("train")))
    assert codec.detokenize(ids[labels != IGNORED][:-1].tolist()) == row["completion"]
    assert ids[-1] == codec.eos_id


@given(st.lists(st.integers(1, 50), min_size=1, max_size=80), st.integers(50, 90))
@settings(deadline=None)
def test_every_document_is_packed_once(lengths, room):
    sizes = np.array(lengths, np.int64)
    packed = pack(sizes, np.arange(len(sizes)), room)
    assert sorted(index for row in packed for index in row) == list(range(len(sizes)))
    assert all(sizes[row].sum() <= room for row in packed)
    # Best fit needs at most twice the least number of rows.
    assert len(packed) <= 2 * -(-int(sizes.sum()) // room)


def test_weights_and_shares_are_drawn(documents):
    rng = np.random.default_rng(0)
    weight = rng.uniform(0, 4, len(documents)).astype(np.float32)
    weighted = Documents(**{**vars(documents), "weight": weight})
    total = np.zeros(len(documents))
    for seed in range(400):
        np.add.at(total, rows.drawn(weighted, {}, True, seed), 1)
    expected = weight / weight.mean()
    assert np.abs(total / 400 - expected).max() < 0.15
    assert (rows.drawn(documents, {}, False, 0) == np.arange(len(documents))).all()
    tokens = {}
    for name in documents.tasks:
        chosen = rows.drawn(documents, {"continue": 1.0, "infill": 3.0}, False, 0)
        mine = chosen[documents.task[chosen] == documents.tasks.index(name)]
        tokens[name] = documents.lengths[mine].sum()
    assert tokens["infill"] / tokens["continue"] == pytest.approx(3, rel=0.1)
    with pytest.raises(ConfigError, match="sing"):
        rows.drawn(documents, {"sing": 1.0}, False, 0)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_packed_rows_equal_separate_passes(documents, tiny, kind, attention):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny(kind), attn_implementation=attention).eval()
    clipped = Documents(**{**vars(documents), "ids": documents.ids % model.config.vocab_size})
    packed = RowSet(clipped, pack(clipped.lengths, np.arange(6), 450))
    batch = Collate(0)([packed[index] for index in range(len(packed))])
    with torch.no_grad():
        logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
        for number, row in enumerate(packed.rows):
            at = 0
            for index in row:
                ids, _ = clipped.document(index)
                alone = model(input_ids=torch.from_numpy(ids)[None], use_cache=False).logits[0]
                assert (logits[number, at : at + len(ids)] - alone).abs().max() < 1e-5
                at += len(ids)


def test_a_mask_of_ones_would_leak(documents, tiny):
    """The trap itself: it is why no mask is passed."""
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny("llama")).eval()
    row = RowSet(Documents(**{**vars(documents), "ids": documents.ids % 600}), [[0, 1]])[0]
    ids, places = torch.from_numpy(row["input_ids"])[None], torch.from_numpy(row["position_ids"])[None]
    with torch.no_grad():
        right = model(input_ids=ids, position_ids=places, use_cache=False).logits
        leaking = model(input_ids=ids, position_ids=places, attention_mask=torch.ones_like(ids)).logits
    assert (right - leaking).abs().max() > 1e-3


def test_the_loss_is_the_same_however_rows_are_packed(documents, tiny):
    model = transformers.AutoModelForCausalLM.from_pretrained(tiny("llama")).eval()
    clipped = Documents(**{**vars(documents), "ids": documents.ids % 600})
    found = []
    for room, batch_rows in ((450, 2), (300, 1), (0, 3)):
        order = np.arange(8)
        packed = pack(clipped.lengths, order, room) if room else [[int(i)] for i in order]
        dataset, total = RowSet(clipped, packed), 0.0
        for at in range(0, len(packed), batch_rows):
            batch = Collate(0)([dataset[i] for i in range(at, min(at + batch_rows, len(packed)))])
            with torch.no_grad():
                logits = model(input_ids=batch["input_ids"], position_ids=batch["position_ids"], use_cache=False).logits
            total += float(cross_entropy_sum(logits, batch["labels"]))
        found.append(total)
    assert found[0] == pytest.approx(found[1], rel=1e-5)
    assert found[0] == pytest.approx(found[2], rel=1e-5)


def test_documents_are_cached_under_their_key(documents, tmp_path):
    path = tmp_path / "tokens.npz"
    documents.save(path, "a")
    again = Documents.load(path, "a")
    assert again is not None
    assert again.fingerprint() == documents.fingerprint()
    assert again.tasks == documents.tasks
    assert Documents.load(path, "b") is None
    path.write_bytes(b"nonsense")
    assert Documents.load(path, "a") is None
