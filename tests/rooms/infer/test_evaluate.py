"""Held-out seeds, likelihood over windows and tokenizers, and the baselines that compose."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

import numpy as np
import pytest

from cadenza import formats
from cadenza.base.errors import ConfigError, ModelError, RangeError
from cadenza.infer import baselines, evaluate, held_out, likelihood
from cadenza.infer.held_out import HeldOut
from cadenza.infer.model import load_model
from cadenza.infer.sample import Sampling
from cadenza.metrics import ngram
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.score.edit import select_bars
from cadenza.score.time import bar_table

from .seeds import band, guitar, piano
from .tiny import write_composer


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_model(write_composer(tmp_path_factory.mktemp("composer"), context_tokens=256))


@pytest.fixture(scope="module")
def pieces():
    rng = random.Random(1)
    scores = [guitar(rng, bars=12), band(rng, bars=10), piano(rng, (4, 4), bars=16), guitar(rng, metre=(3, 4), bars=9)]
    return [HeldOut(f"piece {i}", f"work {i % 3}", "made", score) for i, score in enumerate(scores)]


# ── seeds ────────────────────────────────────────────────────────────────────────────────────────────────


def test_seeds_are_the_same_for_everybody_and_spread_over_works(pieces):
    seeds = held_out.draw(pieces, 6, n_given=3, n_bars=2, random_seed=4)
    again = held_out.draw(pieces, 6, n_given=3, n_bars=2, random_seed=4)
    other = held_out.draw(pieces, 6, n_given=3, n_bars=2, random_seed=5)
    assert held_out.fingerprint(seeds) == held_out.fingerprint(again) != held_out.fingerprint(other)
    assert sorted(seed.work for seed in seeds[:3]) == ["work 0", "work 1", "work 2"]  # every work before any twice
    assert len({seed.name for seed in seeds}) == 6


def test_a_seed_and_what_follows_are_the_piece(pieces):
    for seed in held_out.draw(pieces, 4, n_given=3, n_bars=2):
        assert len(bar_table(seed.given)) == 3
        assert len(bar_table(seed.human)) == 2
        length = seed.given.length_ticks
        for whole, given, human in zip(seed.text.tracks, seed.given.tracks, seed.human.tracks, strict=True):
            onsets = whole.notes["onset_ticks"]
            assert np.array_equal(onsets[onsets < length], given.notes["onset_ticks"])
            later = onsets[(onsets >= length) & (onsets < length + seed.human.length_ticks)]
            assert np.array_equal(later - length, human.notes["onset_ticks"])


def test_too_short_pieces_give_no_seeds(pieces):
    with pytest.raises(RangeError, match="40 bars"):
        held_out.draw(pieces, 2, n_given=30, n_bars=10)


def test_a_folder_of_music_is_a_corpus(pieces, tmp_path):
    for piece in pieces:
        formats.write(piece.score, tmp_path / f"{piece.name}.mid")
    (tmp_path / "broken.mid").write_bytes(b"MThd nothing")
    (tmp_path / "notes.txt.bak").write_text("not music")
    music = held_out.open_music(tmp_path)
    assert [piece.name for piece in music.pieces("test")] == [f"piece {i}.mid" for i in range(4)]
    assert len(music.some("test", 2)) == 2
    assert not music.has_splits
    before = music.fingerprint
    (tmp_path / "piece 0.mid").write_bytes((tmp_path / "piece 1.mid").read_bytes())
    assert held_out.open_music(tmp_path).fingerprint != before
    with pytest.raises(ConfigError, match="folder of music"):
        held_out.open_music(tmp_path / "none")


def test_a_built_corpus_is_opened_by_its_rows(tmp_path):
    from cadenza.corpus.pipeline import CorpusConfig, build

    rng = random.Random(3)
    (tmp_path / "in").mkdir()
    for number in range(3):
        formats.write(guitar(rng, bars=12), tmp_path / "in" / f"{number}.mid")
    manifest = build([tmp_path / "in"], tmp_path / "out", CorpusConfig())
    music = held_out.open_music(tmp_path / "out")
    assert music.fingerprint == manifest["fingerprint"]
    assert music.has_splits
    found = [piece for split in ("train", "validation", "test") for piece in music.pieces(split)]
    assert len({piece.work for piece in found}) == 3
    assert all(piece.score.n_notes for piece in found)


# ── likelihood ───────────────────────────────────────────────────────────────────────────────────────────


def test_every_token_is_paid_for_once_whatever_the_window(pieces, model):
    text = likelihood.text_of(select_bars(0, 10).apply(pieces[0].score), model)
    for window, stride in ((256, 64), (200, 1), (128, 100), (4096, 512)):
        rows = likelihood.rows_of(text, window, stride)
        paid = np.concatenate([row.ids[row.n_given :] for row in rows])
        assert np.array_equal(paid, text.body)
        assert all(np.array_equal(row.ids[: len(text.head)], text.head) and len(row.ids) <= window for row in rows)
    with pytest.raises(ConfigError, match="stride"):
        likelihood.rows_of(text, 64, 65)


def test_the_stride_is_part_of_the_figure(pieces, model):
    """A decoder that knows only how much it has seen: bits follow from window and stride by hand."""

    class Counting(baselines.UniformDecoder):
        def following(self, row):
            logits = super().following(row)
            logits[5] = len(row) / 10
            return logits

    decoder = Counting(len(model.vocabulary), 4096)
    text = likelihood.text_of(select_bars(0, 10).apply(pieces[0].score), model)
    whole = likelihood.log2_of(likelihood.rows_of(text, 4096, 512), decoder).sum()
    coarse = likelihood.log2_of(likelihood.rows_of(text, 128, 64), decoder).sum()
    fine = likelihood.log2_of(likelihood.rows_of(text, 128, 16), decoder).sum()
    assert len({round(float(x), 3) for x in (whole, coarse, fine)}) == 3


def test_bits_do_not_depend_on_batch_or_packing(pieces, tmp_path):
    """The decoder's rows, one by one, against transformers in padded batches and packed.

    To 1e-5 of them: an untrained model has 52 bits a note, and float32's sums in another order were once 4e-6 apart.
    """
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from cadenza.train import likelihood as batched

    torch.manual_seed(0)
    model = load_model(write_composer(tmp_path / "composer", context_tokens=256), precision="float32")
    network = transformers.MinistralForCausalLM.from_pretrained(tmp_path / "composer", dtype=torch.float32)
    texts = [likelihood.text_of(select_bars(0, 8).apply(piece.score), model) for piece in pieces]
    rows = [row for text in texts for row in likelihood.rows_of(text, 256, 96)]
    assert len({len(row.ids) for row in rows}) > 2
    n_notes = sum(text.n_notes for text in texts)
    one = -likelihood.log2_of(rows, model.decoder).sum() / n_notes
    for settings in ({"batch": 1}, {"batch": 3}, {"batch": 64}, {"packed_tokens": 700}, {"packed_tokens": 10_000}):
        assert -batched.log2_of(network, rows, **settings).sum() / n_notes == pytest.approx(one, rel=1e-5), settings
    with pytest.raises(ConfigError):
        batched.log2_of(network, rows, batch=0)


@dataclass(frozen=True)
class _Halves:
    """A vocabulary that spells each field of another in two tokens: which shelf, and which place on it."""

    inner: object
    shelf: int = 37
    joint: str = " "

    @property
    def bos_id(self):
        return 2 * len(self)

    def __len__(self):
        return len(self.inner) + self.shelf

    def id_of(self, text):
        return self.inner.id_of(text)

    def tokenize(self, text):
        return [
            half for token in self.inner.tokenize(text) for half in (token // self.shelf, 1000 + token % self.shelf)
        ]


class _HalvesDecoder:
    """The same distribution over texts, told in halves: p(shelf), then p(place | shelf)."""

    def __init__(self, decoder, shelf):
        self.decoder, self.shelf = decoder, shelf

    def score(self, ids):
        begin, halves = ids[0], ids[1:]
        assert begin >= 2000
        tokens = halves[::2] * self.shelf + halves[1::2] - 1000
        rows = [np.concatenate([[1], tokens[:at]]).astype(np.int64) for at in range(len(tokens))]
        out = []
        for row, token in zip(rows, tokens, strict=True):
            p = np.exp(self.decoder.following(row))
            first = p[token // self.shelf * self.shelf : (token // self.shelf + 1) * self.shelf].sum()
            out += [np.log(first / p.sum()), np.log(p[token] / first)]
        return np.array(out)


def test_one_distribution_in_two_tokenizations_has_the_same_bits(pieces, model):
    text = likelihood.text_of(select_bars(0, 6).apply(pieces[0].score), model)
    counts = baselines.NgramCounts.of([np.concatenate([text.head, text.body])], len(model.vocabulary), 3)
    whole = baselines.as_ngram(model, counts)
    halves = replace(model, vocabulary=_Halves(model.vocabulary), decoder=_HalvesDecoder(whole.decoder, 37))
    found = []
    for one in (whole, halves):
        told = likelihood.text_of(select_bars(0, 6).apply(pieces[0].score), one)
        log2_p = likelihood.log2_of(likelihood.rows_of(told, 4096, 2048), one.decoder)
        found.append((-log2_p.sum() / told.n_notes, len(log2_p)))
    assert found[0][0] == pytest.approx(found[1][0], abs=1e-4)
    assert found[1][1] == 2 * found[0][1]


def test_notations_are_compared_on_what_all_keep(pieces):
    fine, coarse = SimplifiedMidi(bars=True), SimplifiedMidi(bars=True, velocity="drop", resolution="grid:4")
    (kept,) = likelihood.common([pieces[1].score], [fine, coarse])
    assert kept is not None
    (same,) = likelihood.common([kept], [fine, coarse])
    assert same == kept
    for notation in (fine, coarse):
        told = notation.decode(notation.encode(kept))
        assert told.n_notes == kept.n_notes


# ── baselines ────────────────────────────────────────────────────────────────────────────────────────────


def test_ngrams_that_compose_are_those_that_are_measured():
    """Against metrics/ngram.py on the same documents, order by order."""
    rng = np.random.default_rng(2)
    train = [rng.integers(0, 6, rng.integers(5, 40)) for _ in range(12)]
    asked = [rng.integers(0, 6, 25) for _ in range(3)]
    for order in (1, 2, 3, 5):
        theirs = ngram.log2_probabilities(train, asked, 6, max_order=order, smoothings=("witten-bell",))
        decoder = baselines.NgramDecoder(baselines.NgramCounts.of(train, 6, order), 64)
        mine = np.concatenate([np.concatenate([[0.0], decoder.score(document) / np.log(2)]) for document in asked])
        assert mine == pytest.approx(theirs["witten-bell"][order - 1], abs=1e-9), order


def test_ngrams_are_saved_and_opened(tmp_path):
    counts = baselines.NgramCounts.of([[1, 2, 3, 1, 2]], 5, 3)
    counts.save(tmp_path / "n.npz")
    opened = baselines.NgramCounts.load(tmp_path / "n.npz")
    assert np.array_equal(opened.probabilities(np.array([1, 2])), counts.probabilities(np.array([1, 2])))
    assert opened.probabilities(np.array([4, 4])).sum() == pytest.approx(1)
    with pytest.raises(RangeError):
        baselines.NgramCounts.of([[1]], 5, 3)


def test_baseline_decoders_keep_rows_apart(model):
    counts = baselines.NgramCounts.of([[1, 2, 3, 1, 2, 4]], 6, 3)
    decoder = baselines.NgramDecoder(counts, 8, batch=2)
    logits = decoder.prefill([1])
    assert logits.shape == (2, 6)
    decoder.step([2, 3])
    decoder.reorder([1, 1])
    assert decoder.length == 2
    assert np.allclose(*decoder.step([1, 1]))
    with pytest.raises(ModelError):
        baselines.as_ngram(model, counts)  # of another vocabulary


def test_every_baseline_continues_every_piece(pieces, model):
    seeds = held_out.draw(pieces, 4, n_given=3, n_bars=2)
    texts = [likelihood.text_of(seed.text, model) for seed in seeds]
    counts = baselines.NgramCounts.of(
        [np.concatenate([text.head, text.body]) for text in texts], len(model.vocabulary), 5
    )
    for seed in seeds:
        systems = [*evaluate.BASELINES, "greedy", "T=1"]
        found = evaluate.continued(seed, systems, model, 0, counts)
        assert list(found) == systems
        assert evaluate.continued(seed, systems, model, 0, counts) == found
        for made in found.values():
            assert made.score is not None, made.refused
            assert len(bar_table(made.score)) == 2
            assert len(made.score.tracks) == len(seed.given.tracks)
        assert found["human"].score == seed.human
        for name in ("greedy", "T=1"):  # a batch changes nothing
            assert evaluate.continued(seed, [name], model, 0)[name] == found[name]


def test_copying_says_again_what_was_said_last(pieces):
    given = select_bars(0, 3).apply(pieces[0].score)
    assert baselines.copied(given, 2).tracks == select_bars(1, 3).apply(given).tracks
    longer = baselines.copied(given, 7)
    assert len(bar_table(longer)) == 7
    assert select_bars(3, 6).apply(longer).tracks[0] == given.tracks[0]


def test_decodings_by_name():
    assert evaluate.decoding_of("greedy").sampling.temperature == 0
    found = evaluate.decoding_of("temperature=0.8,top_p=0.9,top_k=5,dry=0.8,guard=true")
    assert (found.sampling, found.brakes.dry, found.guard) == (Sampling(0.8, 0.9, 5), 0.8, True)
    assert not evaluate.decoding_of("temperature=0.8").guard
    for wrong in ("greedi", "warmth=1", "temperature=hot", "guard=1", "top_k=0.5"):
        with pytest.raises(ConfigError):
            evaluate.decoding_of(wrong)


def test_a_seed_that_a_model_cannot_read_is_refused_not_dropped(pieces, model):
    (seed,) = held_out.draw(pieces[:1], 1, n_given=3, n_bars=2)
    silent = replace(seed, text=seed.text.with_tracks([t.keep(t.notes["onset_ticks"] < 0) for t in seed.text.tracks]))
    made = evaluate.continued(silent, ["greedy"], model, 0)["greedy"]
    assert made.score is None
    assert "notes" in made.refused
