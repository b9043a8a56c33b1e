"""Every notation is continued and begun under its own automaton, in fields and in any text tokenizer.

The models are tiny and random: what is sound in their music, the players made so."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.continuations import faults
from cadenza.base.errors import ConfigError, ModelError, RangeError
from cadenza.infer import names, write
from cadenza.infer.choose import Decoding
from cadenza.infer.compose import compose
from cadenza.infer.generate import take_all, to_accompany, to_continue, to_infill
from cadenza.infer.letters import Haste, Reading, Spot
from cadenza.infer.model import ComposerModel, load_model
from cadenza.infer.original import REASON, Originality
from cadenza.infer.prompt import put
from cadenza.infer.rows import run
from cadenza.infer.script import Script, write_script
from cadenza.infer.sheet import Sheet, read_sheet
from cadenza.infer.spell import Trie
from cadenza.infer.write import Manner
from cadenza.metrics import syntax
from cadenza.metrics.originality import OriginalityIndex
from cadenza.model.units import tokenize_units, units
from cadenza.model.vocabulary import Vocabulary
from cadenza.notation import NOTATIONS
from cadenza.notation.grammar import END
from cadenza.score.edit import select_bars
from cadenza.score.fingering import MAX_FRET, SPAN_FRETS, playable
from cadenza.score.model import HARMONICS, Score, Technique
from cadenza.score.time import bar_table, bar_ticks, metre_at
from tests.rooms.infer import tiny
from tests.rooms.infer.seeds import all_seeds
from tests.strategies import examples

SEEDS = all_seeds()
GRID = {"resolution": "grid:24"}
CASES = {
    "dadagp": ("dadagp", {}),
    "abc": ("abc", {}),
    "abc by track": ("abc", {"layout": "by_track"}),
    "abc overlays": ("abc", {"voices": "overlays", "velocity": "drop", "unit": 8}),
    "mt3": ("mt3", {}),
    "mt3 levels": ("mt3", {"segment_seconds": 1.111, "steps_per_second": 32, "velocity_bins": 8}),
    "by track": ("simplified-midi", {"layout": "by_track", **GRID}),
    "bars by track": ("simplified-midi", {"layout": "by_track", "bars": True, "compact": True, **GRID}),
    "without bars": ("simplified-midi", GRID),
    "compact": ("simplified-midi", {"compact": True, "header": "first", **GRID}),
    "flat": ("simplified-midi", {"resolution": "flat:96", "bend": "none"}),
    "published": ("simplified-midi", {"profile": "published", "bend": "published", **GRID}),
    "published by track": ("simplified-midi", {"profile": "published", "bend": "none", "layout": "by_track", **GRID}),
}
BARS = 2
TROUBLE = (
    "drop tuning", "ukulele", "twenty tracks", "ends in silence", "one note long ago", "change of metre", "pickup",
    "5 ticks", "drums alone", "16/4", "very high",
)  # fmt: skip


def notation_of(case: str):
    name, options = CASES[case]
    return NOTATIONS.load(name)(**options)


@pytest.fixture(autouse=True)
def short_bars(monkeypatch):
    """A random model's bars hardly ever end of themselves."""
    monkeypatch.setattr(write, "MAX_BAR_FIELDS", 24)


@pytest.fixture(scope="module", params=CASES)
def fields(request, tmp_path_factory) -> ComposerModel:
    folder = tmp_path_factory.mktemp("fields")
    return load_model(tiny.write_composer(folder, 1024, notation=notation_of(request.param)))


@pytest.fixture(scope="module", params=CASES)
def spelled(request, tmp_path_factory) -> ComposerModel:
    pytest.importorskip("tokenizers", reason="tokenizers is not installed: no text vocabularies")
    return load_model(tiny.write_hub_composer(tmp_path_factory.mktemp("text"), notation_of(request.param)))


def written(seed: Score, model: ComposerModel, number: int = 0, bars: int = BARS) -> tuple[Sheet, Script]:
    sheet = read_sheet(seed, model, bars=bars)
    manner = Manner(Decoding(), model.loops)
    ((_, script),) = run(model.decoder, [lambda: write_script(model, sheet, manner, np.random.default_rng(number))])
    return sheet, script


def whole_text(model: ComposerModel, script: Script) -> str:
    return script.text.rstrip() + "\nend" if model.notation.name == "dadagp" else script.text.rstrip("\n")


def parses(model: ComposerModel, sheet: Sheet, script: Script) -> Score:
    """The text follows its grammar to the end, and its new bars are what the player heard itself say."""
    text = whole_text(model, script)
    state = model.notation.grammar().begin()
    for one in model.notation.fields(text):
        state.feed(one)
    assert any(span.kind == END for span in state.allowed()) or model.notation.name == "dadagp"
    assert syntax.compute(est=text, notation=model.notation)["parse"] == 1
    new = sheet.read(script.text)
    assert len(script.keys) == BARS * len(sheet.parts)
    heard = sorted(tuple(map(int, word.split(":")[1:])) for key in script.keys for word in key.split())
    read = []
    for place, track in enumerate(new.tracks):
        techniques = track.notes["techniques"]
        if (techniques & int(HARMONICS)).any():  # these sound above what is told
            heard = [one for one in heard if one[0] != place]
        else:
            read += [(place, pitch) for pitch in track.notes["pitch"][techniques & int(Technique.GRACE) == 0].tolist()]
    assert sorted(read) == heard
    return new


def is_sound(seed: Score, score: Score, start: int, bars: int = BARS) -> None:
    """The seed note for note, so many bars after it, all in range and playable."""
    metre = metre_at(seed, int(bar_table(seed).starts_ticks[-1]))
    full = bar_ticks(metre, seed.ticks_per_quarter)
    assert score.length_ticks == start + bars * full
    assert len(bar_table(score)) == len(bar_table(seed)) + bars
    for before, after in zip(seed.tracks, score.tracks, strict=True):
        old = after.notes["onset_ticks"] < start
        assert before.notes.tobytes() == after.notes[old].tobytes()
        new = after.keep(~old)
        assert (new.notes["onset_ticks"] + new.notes["duration_ticks"] <= score.length_ticks).all()
        if not after.tuning or after.is_drums:
            continue
        low, high = min(after.tuning) + after.capo_fret, max(after.tuning) + MAX_FRET
        plain = new.notes["techniques"] & int(HARMONICS) == 0
        assert ((new.notes["pitch"] >= low) & (new.notes["pitch"] <= high))[plain].all()
        for onset in np.unique(new.notes["onset_ticks"]):
            rows = new.notes[new.notes["onset_ticks"] == onset]
            frets = rows["fret"].tolist()
            assert len(set(rows["string"].tolist())) == len(rows)
            assert all(0 <= fret <= MAX_FRET - after.capo_fret for fret in frets)
            pressed = [fret for fret in frets if fret]
            assert max(pressed, default=0) - min(pressed, default=0) <= SPAN_FRETS


@pytest.mark.parametrize("name", ["guitar", "piano 3/4", "band", "capo", "7/8"])
def test_fields_go_on_soundly(name, fields: ComposerModel) -> None:
    assert fields.has_fields
    seed = SEEDS[name]
    (take,) = take_all(seed, fields, list(to_continue(fields, BARS)), Manner(Decoding(), fields.loops), [3])
    assert faults(seed, take) == []
    is_sound(seed, take.score, take.start_ticks)
    assert take.n_notes
    parses(fields, *written(seed, fields, 3))


@pytest.mark.parametrize("name", ["guitar", "piano 3/4", "band"])
def test_any_text_tokenizer_goes_on_soundly(name, spelled: ComposerModel, monkeypatch) -> None:
    assert not spelled.has_fields
    monkeypatch.setattr(write, "MAX_BAR_FIELDS", 8)
    seed = select_bars(0, 2)(SEEDS[name])
    sheet, script = written(seed, spelled, 1)
    new = parses(spelled, sheet, script)
    assert new.n_notes
    score = put(seed, sheet, new, keeps_frets=True)
    is_sound(seed, score, int(bar_table(seed).ends_ticks[-1]))


@pytest.mark.parametrize("case", ["dadagp", "abc"])
def test_a_qwen_with_its_own_tokenizer(case, tmp_path: Path) -> None:
    pytest.importorskip("tokenizers", reason="tokenizers is not installed: no text vocabularies")
    model = load_model(tiny.write_hub_composer(tmp_path, notation_of(case), tiny.QWEN3))
    (take,) = take_all(SEEDS["guitar"], model, list(to_continue(model, 1)), Manner(Decoding(), model.loops), [0])
    is_sound(SEEDS["guitar"], take.score, take.start_ticks, bars=1)


@pytest.mark.parametrize("name", TROUBLE)
@pytest.mark.parametrize("case", ["dadagp", "abc", "mt3", "without bars"])
def test_what_makes_trouble(name, case, tmp_path: Path) -> None:
    model = load_model(tiny.write_composer(tmp_path, 1024, notation=notation_of(case)))
    seed = SEEDS[name]
    if (case, name) == ("dadagp", "very high"):  # no hand plays both
        with pytest.raises(RangeError, match="can tell"):
            compose(seed, model=model, bars=1)
        return
    (take,) = take_all(seed, model, list(to_continue(model, BARS)), Manner(Decoding(), model.loops), [5])
    is_sound(seed, take.score, take.start_ticks)


def test_a_piece_is_begun_in_every_notation(fields: ComposerModel) -> None:
    several = fields.notation.options().get("profile") != "published" or fields.notation.layout == "by_track"
    (one,) = compose(new="guitar,bass,drums" if several else "guitar", model=fields, bars=BARS, tempo=140)
    assert one.score.n_notes
    assert one.score.length_ticks == BARS * 4 * one.score.ticks_per_quarter
    assert len(one.score.tracks) == (3 if several else 1)
    for track in one.score.tracks:
        for onset in np.unique(track.notes["onset_ticks"]) if track.tuning else ():
            chord = track.notes["pitch"][track.notes["onset_ticks"] == onset]
            harmonic = track.notes["techniques"][track.notes["onset_ticks"] == onset] & int(HARMONICS | Technique.GRACE)
            assert harmonic.any() or playable(tuple(chord.tolist()), track.tuning)
    if not several:
        with pytest.raises(RangeError):
            compose(new="guitar,bass", model=fields, bars=BARS)


def test_takes_in_a_batch_equal_takes_alone(fields: ComposerModel) -> None:
    stages = list(to_continue(fields, 1))
    manner = Manner(Decoding(), fields.loops)
    together = take_all(SEEDS["guitar"], fields, stages, manner, [0, 1])
    alone = [take_all(SEEDS["guitar"], fields, stages, manner, [n])[0] for n in (0, 1)]
    assert [take.score for take in together] == [take.score for take in alone]


@pytest.mark.parametrize("case", ["dadagp", "abc", "abc by track", "mt3", "by track", "without bars"])
def test_range_strict_key_and_tracks_hold(case, tmp_path: Path) -> None:
    model = load_model(tiny.write_composer(tmp_path, 1024, notation=notation_of(case)))
    seed = SEEDS["band"]
    (one,) = compose(seed, model=model, bars=BARS, key="Eb", strict_key=True, low="E2", high=64, tracks="1,2")
    inside = names.classes_of(names.key("Eb"))
    for place, track in enumerate(one.score.tracks):
        new = track.notes[track.notes["onset_ticks"] >= one.take.start_ticks]
        assert not len(new) or place in (0, 1)
        assert set((new["pitch"] % 12).tolist()) <= inside
        assert not len(new) or (new["pitch"].min() >= 40 and new["pitch"].max() <= 64)


@pytest.mark.parametrize("case", ["dadagp", "abc", "mt3", "without bars"])
def test_a_soft_key_pulls(case, tmp_path: Path) -> None:
    model = load_model(tiny.write_composer(tmp_path, 1024, spread=0.05, notation=notation_of(case)))

    def share_outside(**wishes) -> float:
        (one,) = compose(SEEDS["guitar"], model=model, bars=6, **wishes)
        notes = one.score.tracks[0].notes
        classes = notes["pitch"][notes["onset_ticks"] >= one.take.start_ticks] % 12
        return float(np.mean(~np.isin(classes, [1, 3, 4, 6, 8, 9, 11])))

    assert share_outside(key="E", nearness=0.1) < share_outside() - 0.05


def test_tempo_and_metre_change_where_the_new_bars_begin(fields: ComposerModel) -> None:
    seed = SEEDS["guitar"]
    (one,) = compose(seed, model=fields, bars=3, tempo=60, metre="3/4")
    assert one.take.start_ticks == seed.length_ticks
    assert one.score.length_ticks == seed.length_ticks + 3 * 1440
    assert one.score.tempos[-1].onset_ticks == seed.length_ticks
    new = one.score.tracks[0].notes["onset_ticks"]
    assert (new < one.score.length_ticks).all()
    assert len(bar_table(one.score)) == len(bar_table(seed)) + 3


def test_what_a_notation_cannot_do_is_said(fields: ComposerModel) -> None:
    seed = SEEDS["band"]
    for wish in ({"infill": "2"}, {"accompany": "bass"}):
        with pytest.raises(ConfigError, match="continuation or a new piece"):
            compose(seed, model=fields, **wish)
    with pytest.raises(ConfigError, match="key, range, nearness"):
        compose(seed, model=fields, bars=1, density=4)
    with pytest.raises(ConfigError, match="every notation can"):
        list(to_infill(fields, 0, 1))
    with pytest.raises(ConfigError, match="every notation can"):
        list(to_accompany(seed, fields, 0))
    with pytest.raises(RangeError, match="notes"):
        compose(Score(seed.tracks[:0]), model=fields, bars=1)


def test_bars_of_real_time_are_refused(tmp_path: Path) -> None:
    notation = NOTATIONS.load("simplified-midi")(bars=True, resolution="flat:96")
    with pytest.raises(ModelError, match="own bars"):
        load_model(tiny.write_composer(tmp_path, notation=notation))


def test_vocabularies_of_bytes_are_refused(tmp_path: Path) -> None:
    notation = notation_of("dadagp")
    folder = tiny.write_composer(tmp_path, notation=notation)
    Vocabulary.of(notation.vocabulary()).save(folder / "vocabulary.json")
    with pytest.raises(ModelError, match="Train it again"):
        load_model(folder)


def test_loops_and_copies_are_drawn_again(tmp_path: Path) -> None:
    model = load_model(tiny.write_composer(tmp_path, 1024, notation=notation_of("dadagp")))
    (free,) = compose(SEEDS["guitar"], model=model, bars=4, random_seed=1)
    model.__dict__["originality"] = Originality(OriginalityIndex.of([free.score]), max_run=5)
    (one,) = compose(SEEDS["guitar"], model=model, bars=4, random_seed=1)
    assert one.score != free.score
    assert one.take.refused.get(REASON)
    (off,) = compose(SEEDS["guitar"], model=model, bars=4, random_seed=1, decoding=Decoding(original=False))
    assert off.score == free.score


# ── fields as tokens, whatever joins them ────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("case", CASES)
def test_fields_are_tokens(case) -> None:
    notation = notation_of(case)
    vocabulary = Vocabulary.of(notation.vocabulary(), notation.joint)
    for name in ("band", "piano 3/4"):
        text = notation.encode(SEEDS[name])
        ids = vocabulary.tokenize(text)
        assert vocabulary.detokenize(ids) == text
        bars = tokenize_units(vocabulary, units(text, notation.unit_start))
        assert [token for bar in bars for token in bar] == ids
        assert sum(token >= vocabulary.first_field for token in ids) > 0.9 * sum(1 for _ in notation.fields(text))


@settings(max_examples=examples(200), deadline=None)
@given(text=st.text(alphabet="ab:\n 12[]|x", max_size=24), joint=st.sampled_from(["\n", "", " "]))
def test_every_text_comes_back(text, joint) -> None:
    vocabulary = Vocabulary.of(["a", "ab", ":b", "1", "12", "a:1", "[", "]", "|", "|]"], joint)
    assert vocabulary.detokenize(vocabulary.tokenize(text)) == text


def test_joints_are_kept(tmp_path: Path) -> None:
    for joint in ("\n", "", " "):
        Vocabulary.of(["a", ":b"], joint).save(tmp_path / "vocabulary.json")
        assert Vocabulary.load(tmp_path / "vocabulary.json").joint == joint
    (tmp_path / "vocabulary.json").write_text('{"specials": ["<pad>", "<bos>", "<eos>"], "bytes": 256, "fields": [],'
                                              ' "joint": "x"}')  # fmt: skip
    with pytest.raises(ModelError):
        Vocabulary.load(tmp_path / "vocabulary.json")


# ── letter by letter ─────────────────────────────────────────────────────────────────────────────────────


@settings(max_examples=examples(4), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6))
def test_random_letters_spell_the_notation(seed, fields: ComposerModel) -> None:
    """Whatever single letters are drawn, the text parses, and its bars are those asked for."""
    model = fields
    rng, joint = random.Random(seed), model.notation.joint
    sheet = read_sheet(SEEDS["guitar"], model, bars=1)
    alphabet = sorted({*"0123456789-\n ", *(letter for field in model.notation.vocabulary() for letter in field)})
    trie = Trie(alphabet, alphabet)
    player = sheet.player(sheet.instruments)
    text = sheet.header + sheet.parts[0].given
    for one in model.notation.fields(text):
        player.feed(one)
    player.write(1)
    player.insists = player.insists_next = True
    leads_in = player.is_leading_in
    while player.reached < player.n_last or leads_in:
        haste = Haste()
        reading = Reading(Spot(player.copy(), joint, haste, opens=not leads_in))
        bar = ""
        while not reading.is_over():
            after = reading.next_bar()
            ids = trie.allowed([reading] if after is None else [reading, after]).tolist()
            letter = alphabet[rng.choice(ids)]
            haste.on = len(bar) > 200
            following = reading.read(letter)
            if following is None:
                break
            reading, bar = following, bar + letter
            assert len(bar) < 3000
        place = reading.place()
        assert place is not None
        player, text, leads_in = place.copy(), text + bar, False
    read = sheet.read(text)
    assert read.n_notes or len(sheet.parts) > 1
    instrument = sheet.instruments[0]
    plain = read.tracks[0].notes["techniques"] & int(HARMONICS) == 0
    assert all(instrument.low <= pitch <= instrument.high for pitch in read.tracks[0].notes["pitch"][plain].tolist())
