"""What the ear is taught: targets of notes, rooms that keep the notes, and a run from scores to a checkpoint."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from cadenza.base.errors import ConfigError  # noqa: E402
from cadenza.corpus.synthesis import BEND_FRAME, CLIP_NOTE, DRUM_HIT, Clip  # noqa: E402
from cadenza.model import ear_features as front  # noqa: E402
from cadenza.model.ear_architecture import HEADS, EarShape  # noqa: E402
from cadenza.train import ear_augment  # noqa: E402
from cadenza.train.ear import EarTraining, f1, load, onset_scores, rate_at, save, train, weights_of  # noqa: E402
from cadenza.train.ear_augment import augmented  # noqa: E402
from cadenza.train.ear_clips import Pool, Renderers  # noqa: E402
from cadenza.train.ear_families import examples, fitted, retaught  # noqa: E402
from cadenza.train.ear_network import BLOCKS, Block, EarNetwork  # noqa: E402
from cadenza.train.ear_release import release, stages  # noqa: E402
from cadenza.train.ear_targets import losses, targets, total  # noqa: E402


def made():
    notes = torch.zeros(1, 3, 6)
    notes[0, :, 2] = -1
    notes[0, 0] = torch.tensor([1.005, 1.5, 60, 100, 2, 10])
    notes[0, 1] = torch.tensor([0.2, 0.9, 62, 50, -1, 10])
    bends = torch.full((1, 2, 3), -1.0)
    bends[0, 0] = torch.tensor([52, 60, 50])
    drums = torch.tensor([[[0.5, 2.0, 100.0], [0.0, -1.0, 0.0]]])
    return targets(notes, bends, drums, torch.tensor([5]), 80, 8, 5)


def test_targets_say_what_the_notes_are():
    wanted = made()
    key, other = 60 - 21, 62 - 21
    # The onset is at 1.005 s = frame 50.25 of the clip, 45.25 of the stretch.
    onset = wanted.onset[0, :, key]
    assert onset.argmax() == 45
    assert onset[45] == pytest.approx(1 - 0.25 / 2.2)
    assert wanted.shift[0, 45, key] == pytest.approx(0.25)
    assert wanted.velocity[0, 45, key] == pytest.approx(100 / 127)
    assert wanted.frame[0, :, key].nonzero().flatten().tolist() == list(range(45, 70))
    assert wanted.frame[0, :, other].nonzero().flatten().tolist() == list(range(5, 40))
    assert wanted.offset[0, :, key].argmax() == 70
    assert wanted.family[0, 2, :, key].sum() == 25
    assert wanted.known.sum() == 25  # nothing is said of the other note's instrument
    assert wanted.bend[0, 50, key] == pytest.approx(0.1)
    assert wanted.bend[0, 47, key] == pytest.approx(0.6)
    assert wanted.bent.nonzero().tolist() == [[0, 47, key]]
    assert wanted.drums[0, 20].tolist() == [0, 0, 1, 0, 0]
    assert wanted.frame.sum() == 60


def test_the_loss_falls_where_the_answer_is_right():
    wanted = made()
    right = {
        "onset": 20 * wanted.onset - 10, "frame": 20 * wanted.frame - 10, "offset": 20 * wanted.offset - 10,
        "velocity": torch.logit(wanted.velocity.clamp(0.01, 0.99)), "shift": wanted.shift, "bend": wanted.bend,
        "family": 20 * wanted.family - 10, "drums": 20 * wanted.drums - 10,
    }  # fmt: skip
    wrong = {name: torch.zeros_like(value) for name, value in right.items()}
    good, bad = losses(right, wanted), losses(wrong, wanted)
    assert all(good[name] < 0.5 * bad[name] for name in good)
    assert total(good) < 0.1 * total(bad)


@pytest.mark.parametrize("block", sorted(set(BLOCKS)))
def test_a_folded_block_is_the_dilated_one(block):
    torch.manual_seed(0)
    one = Block(4, *block).eval()
    x = torch.randn(2, 4, 29, 88)
    with torch.no_grad():
        plain = one(x)
        one.folds = True
        assert torch.allclose(one(x), plain, atol=1e-5)


def test_rooms_are_drawn_by_the_generator_and_keep_the_sound_in_bounds():
    samples = 0.1 * torch.randn(8, 20_480, generator=torch.Generator().manual_seed(0))
    one, two = (augmented(samples, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)
    assert one.isfinite().all()
    assert not torch.equal(one, augmented(samples, torch.Generator().manual_seed(4)))
    level = one.std(1)
    assert (level > 0.01).all()
    assert (level < 0.5).all()


def test_matching_is_one_to_one():
    rows = np.dtype([("onset_seconds", "f8"), ("pitch", "i2")])
    ref = np.array([(1.0, 60), (1.04, 60), (2.0, 62)], rows)
    est = np.array([(1.02, 60), (2.06, 62), (3.0, 64)], rows)
    assert onset_scores(ref, est) == (1, 3, 3)
    assert f1([(1, 3, 3), (3, 3, 3)]) == pytest.approx(8 / 12)


def test_the_rate_follows_the_clock():
    training = EarTraining(learning_rate=1.0, warmup_steps=10, flat=0.5)
    assert rate_at(0.0, 0, training) == pytest.approx(0.1)
    assert rate_at(0.4, 100, training) == 1.0
    assert rate_at(0.75, 100, training) == pytest.approx(0.5)
    assert rate_at(1.0, 100, training) == pytest.approx(0.005)


@pytest.mark.slow
def test_a_run_learns_from_scores_and_ends_with_the_clock(tmp_path):
    pytest.importorskip("tinysoundfont")
    from cadenza.corpus import soundfonts
    from cadenza.corpus.score_pack import pack
    from tests.rooms.corpus.test_synthesis import piece

    font = tmp_path / "made.sf2"
    soundfonts.write_font(soundfonts.random_font(3, n_presets=2), font)
    packed = pack([piece(0, "train"), piece(1, "train"), piece(2, "validation")])
    training = EarTraining(
        minutes=0.05, batch=1, frames=32, workers=1, first_clips=2, most_clips=3, pool_clips=8, warmup_steps=2
    )  # fmt: skip
    begun = time.time()
    result = train(
        packed, [font], tmp_path / "run", training, EarShape(width=4, drum_width=4), evaluation_clips=1,
        device=torch.device("cpu"),
    )  # fmt: skip
    assert time.time() - begun < 120
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["event"] for line in log][:2] == ["start", "learning"]
    assert log[-1]["event"] == "result"
    assert set(result["validation"][str(result["onset_threshold"])]) >= {"piano", "mean", "family"}
    network, facts = load(tmp_path / "run" / "ear.pt")
    assert isinstance(network, EarNetwork)
    assert facts["step"] > 0
    assert facts["clips"] <= 3
    assert facts["fonts"] == ["made.sf2"]
    again = train(
        packed, [font], tmp_path / "again", replace(training, minutes=0.02), EarShape(width=4, drum_width=4),
        evaluation_clips=1, device=torch.device("cpu"), begin_with=tmp_path / "run",
    )  # fmt: skip
    assert again["validation"]
    assert load(tmp_path / "again" / "ear.pt")[1]["before"]["clips"] == facts["clips"]
    with pytest.raises(ConfigError, match="at most 1"):
        train(packed, [font], tmp_path / "no", EarTraining(first_clips=2, most_clips=1), EarShape(width=4))
    assert facts["audio_seconds_learned"] == pytest.approx(facts["step"] * 32 / 50)


def test_training_goes_on_from_the_weights_of_an_ear(tmp_path):
    from cadenza.base.errors import ModelError
    from cadenza.base.tensors import write_safetensors

    torch.manual_seed(0)
    shape = EarShape(width=4, drum_width=4)
    values = {name: v.numpy() for name, v in EarNetwork(shape).state_dict().items() if v.is_floating_point()}
    write_safetensors(tmp_path / "model.safetensors", values)
    read = weights_of(tmp_path, shape)
    assert all((read[name].numpy() == value).all() for name, value in values.items())
    save(tmp_path / "ear.pt", shape, {name: torch.from_numpy(value + 1) for name, value in values.items()}, {})
    assert (weights_of(tmp_path, shape)["enter.weight"].numpy() == values["enter.weight"] + 1).all()
    with pytest.raises(ModelError, match="2 wide"):
        weights_of(tmp_path, EarShape(width=2, drum_width=4))
    with pytest.raises(ModelError, match="3 families"):
        weights_of(tmp_path, EarShape(width=8, drum_width=4, n_families=3))
    # One that looks further goes on from it, and says the same at first.
    wider = EarNetwork(replace(shape, far=True))
    wider.load_state_dict(weights_of(tmp_path, wider.shape), strict=False)
    near = EarNetwork(shape)
    near.load_state_dict(weights_of(tmp_path, shape), strict=False)
    seen = torch.rand(1, 2, 40, front.N_BINS)
    with torch.no_grad():
        said, same = near.eval()(seen), wider.eval()(seen)
    assert all(torch.equal(said[name], same[name]) for name in said)


def test_a_widened_ear_says_what_it_said_and_trains_its_new_channels(tmp_path):
    torch.manual_seed(0)
    shape = EarShape(width=4, drum_width=4, far=True)
    narrow = EarNetwork(shape)
    with torch.no_grad():
        for name, value in narrow.state_dict().items():
            if value.is_floating_point():  # running statistics and what begins as zero, too
                value.copy_(torch.rand_like(value) * 0.4 + (0.8 if "var" in name else -0.2))
    save(tmp_path / "ear.pt", shape, narrow.state_dict(), {})
    wide = EarNetwork(replace(shape, width=7))
    wide.load_state_dict(weights_of(tmp_path, wide.shape), strict=False)
    seen = torch.rand(2, 2, 40, front.N_BINS)
    for training in (False, True):
        narrow.train(training), wide.train(training)
        said, same = narrow(seen), wide(seen)
        for name, value in said.items():
            torch.testing.assert_close(same[name], value, rtol=1e-4, atol=1e-4)
    adam = torch.optim.Adam(wide.parameters(), 0.01)
    for _ in range(2):
        adam.zero_grad()
        sum(value.square().mean() for value in wide(seen).values()).backward()
        adam.step()
    for name, value in wide.named_parameters():
        if value.dim() > 1 and not name.startswith("drums.") and value.shape[1] > 4 and "conv" not in name:
            assert value[:4, -1].any(), name  # what there was listens to what is new


def test_a_longer_and_wetter_room_sounds_on_for_longer():
    click = torch.zeros(64, 40_000)
    click[:, 2_000] = 1.0
    tails = []
    for room_seconds, wettest_decibels in ((0.4, -19.0), (1.4, 2.0), (2.4, 6.0)):
        sound = augmented(click, torch.Generator().manual_seed(1), room_seconds, wettest_decibels)
        tails.append(float((sound[:, 10_000:18_000].std(1) / sound[:, 2_000:10_000].std(1)).median()))
    assert tails == sorted(tails)
    assert tails[2] > 1.5 * tails[0]


def test_a_hall_sounds_on_for_longer_than_rooms_and_none_is_drawn_where_none_is_asked_for():
    click = torch.zeros(64, 40_000)
    click[:, 2_000] = 1.0
    rooms, halls = (augmented(click, torch.Generator().manual_seed(1), hall_share=share) for share in (0.0, 1.0))
    tails = [float((s[:, 10_000:18_000].std(1) / s[:, 2_000:10_000].std(1)).median()) for s in (rooms, halls)]
    assert tails[1] > 1.5 * tails[0]
    assert torch.equal(rooms, augmented(click, torch.Generator().manual_seed(1)))


def test_a_clip_that_fails_is_not_waited_for():
    class Failing:
        def clip(self, number):
            if number == 1:
                raise ValueError("no such clip")
            rows = [np.zeros(0, kind) for kind in (CLIP_NOTE, DRUM_HIT, BEND_FRAME)]
            return Clip("piano", np.zeros(1000, np.int16), *rows, 0.0)

    renderers = Renderers(Failing(), 1, most=3, slots=4)
    try:
        pool = Pool(8, torch.device("cpu"))
        begun = time.time()
        while not renderers.has_ended and time.time() - begun < 60:
            pool.fill(renderers, wait_seconds=0.2)
        assert renderers.has_ended
        pool.fill(renderers)
        assert len(pool) == 2
    finally:
        renderers.close()


def test_an_ear_is_released_with_the_threshold_that_was_chosen(tmp_path):
    shape = EarShape(width=4)
    save(tmp_path / "ear.pt", shape, EarNetwork(shape).eval().state_dict(), {"step": 1, "minutes": 0.1})
    scores = {"0.4": {"solo": 0.7}, "0.45": {"solo": 0.8}}
    (tmp_path / "result.json").write_text(json.dumps({"onset_threshold": 0.45, "test": scores}))
    for chosen, threshold, score in ((None, 0.45, "solo 0.800"), (0.4, 0.4, "solo 0.700"), (0.33, 0.33, "not asked")):
        assert release(tmp_path, tmp_path / "out", chosen)["onset_threshold"] == threshold
        card = (tmp_path / "out" / "README.md").read_text()
        assert f"| onset threshold | {threshold}," in card
        assert score in card
    with pytest.raises(ConfigError, match="between 0 and 1"):
        release(tmp_path, tmp_path / "out", 1.5)


def test_bright_halls_give_treble_back_as_they_give_bass(monkeypatch):
    burst = torch.randn(64, 32000, generator=torch.Generator().manual_seed(2)) * (torch.arange(32000) < 10000)
    tilts = []
    for share in (0.0, 0.5, 1.0):
        monkeypatch.setattr(ear_augment, "HALL_BRIGHT_SHARE", share)
        heard = augmented(burst, torch.Generator().manual_seed(1), hall_share=1.0)[:, 12000:28000]
        power, hertz = torch.fft.rfft(heard).abs() ** 2, torch.fft.rfftfreq(16000, 1 / 16000)
        high, low = (power[:, (hertz > a) & (hertz < b)].mean(1) for a, b in ((4000, 6000), (500, 800)))
        tilts.append(float(10 * torch.log10(high / low).mean()))
    assert tilts[0] + 1 < tilts[1] < tilts[2] - 1, tilts


def test_the_card_says_what_was_done_one_after_another():
    first = {
        "step": 7423, "minutes": 4.6, "audio_seconds_learned": 7200.0, "audio_seconds_rendered": 3600.0,
        "training": {"room_seconds": 1.4},
    }  # fmt: skip
    second = {"step": 1061, "minutes": 27.0, "fonts": ["a.sf3"], "before": first}
    said = stages({**first, "step": 9, "fonts": ["a.sf3", "b.sf3"], "before": second})
    assert [one.split(" steps")[0] for one in said] == ["7,423", "1,061", "9"]
    assert said[0].endswith("4.6 minutes, 2.0 hours of sound heard, 1.0 hours of them different, rooms of up to 1.4 s")
    assert said[1].endswith("27.0 minutes, soundfonts a.sf3")
    assert "a.sf3, b.sf3" in said[2]


def test_families_are_taught_anew_on_whole_notes_and_nothing_else_changes(tmp_path):
    pytest.importorskip("tinysoundfont")
    from cadenza.corpus import soundfonts
    from cadenza.corpus.score_pack import pack
    from tests.rooms.corpus.test_synthesis import piece

    font = tmp_path / "made.sf2"
    soundfonts.write_font(soundfonts.random_font(3, n_presets=2), font)
    packed = pack([piece(0, "train"), piece(1, "train")])
    torch.manual_seed(0)
    shape = EarShape(width=4, drum_width=4)
    network = EarNetwork(shape)
    save(tmp_path / "ear.pt", shape, network.state_dict(), {"step": 1})
    (tmp_path / "result.json").write_text('{"onset_threshold": 0.4, "test": {"0.4": {"piano": 0.5, "family": 0.1}}}')
    result = retaught(tmp_path, packed, [font], tmp_path / "out", n_clips=3)
    assert result["examples"] > 5
    assert result["test"] == {"0.4": {"piano": 0.5}}
    assert np.mean(list(result["right"]["after"].values())) >= np.mean(list(result["right"]["before"].values()))
    before, after = weights_of(tmp_path, shape), weights_of(tmp_path / "out", shape)
    for name, value in before.items():
        if name.startswith("heads."):
            assert torch.equal(after[name][: len(HEADS)], value[: len(HEADS)])
            assert not torch.equal(after[name], value)
        else:
            assert torch.equal(after[name], value)
    assert load(tmp_path / "out" / "ear.pt")[1]["before"] == {"step": 1}
    with pytest.raises(ConfigError):
        retaught(tmp_path, packed, [font], tmp_path / "no", n_clips=0)


def test_examples_are_notes_alone_at_their_key():
    clip_notes = np.zeros(4, CLIP_NOTE)
    clip_notes["onset_seconds"], clip_notes["end_seconds"] = [0.2, 0.21, 0.2, 1.0], [0.6, 0.6, 0.6, 1.2]
    clip_notes["pitch"], clip_notes["family"] = [60, 60, 64, 60], [0, 7, 5, -1]
    clip = Clip("solo", np.zeros(1, np.int16), clip_notes, np.zeros(0, DRUM_HIT), np.zeros(0, BEND_FRAME), 0.0)
    said = torch.zeros(2, 100, 88)
    said[1, 10:30, 64 - 21] = 2.0
    x, families = examples(said, clip)
    assert families.tolist() == [5]
    assert x.tolist() == [[0.0, 2.0]]


def test_a_rare_family_is_told_from_a_common_one():
    torch.manual_seed(0)
    x = torch.randn(400, 2)
    families = torch.zeros(400, dtype=torch.long)
    families[:20], x[:20] = 1, x[:20] + torch.tensor([0.0, 4.0])
    weight, bias, _ = fitted(x, families, torch.zeros(2, 2), torch.zeros(2))
    told = (x @ weight.T + bias).argmax(1)
    assert (told[:20] == 1).float().mean() > 0.8
    assert (told[20:] == 0).float().mean() > 0.9
