"""Models that listen, in use: what is written under ABC's automaton, route b of the command, the shipped listener."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("transformers", reason="training needs the extra [train]")
pytest.importorskip("onnxruntime", reason="the ear needs onnxruntime")

from cadenza import formats  # noqa: E402
from cadenza.base.errors import NotationError  # noqa: E402
from cadenza.corpus.clips import NOTATION, ClipStore  # noqa: E402
from tests.rooms.train.listeners import RECIPE  # noqa: E402


def test_what_is_written_under_the_automaton_is_music(sft, clips, tmp_path):
    """Even by a model that has hardly learned anything: bars add up, and the reader takes it."""
    from cadenza.corpus.clips import NOTATION
    from cadenza.infer.grammatical import Guide
    from cadenza.train.listening import transcribe

    opened, seconds = transcribe.open_for_use(sft)
    assert seconds == RECIPE.seconds + transcribe.ROOM_SECONDS
    guide = Guide(NOTATION, opened.codec.texts())
    store = ClipStore(clips / "validation")
    for number in range(len(store)):
        place = guide.begin()
        for token in opened.codec.tokenize(store[number].text):  # the truth is allowed all along
            allowed, _ = place.allowed()
            assert allowed is None or token in allowed
            place.feed(token)
        assert place.is_guided
        assert place.allowed()[1]
    rng = np.random.default_rng(0)
    for number in range(20):
        place = guide.begin()
        head, _, _ = store[number % len(store)].text.partition("[V:1]")
        for token in opened.codec.tokenize(head + "[V:"):
            place.feed(token)
        for _ in range(2000):
            allowed, may_end = place.allowed()
            assert allowed is not None
            if may_end:
                break
            closing = [token for token in allowed.tolist() if guide.texts[token] == "]"]  # or a chord has no end
            place.feed(closing[0] if closing else int(rng.choice(allowed)))
        NOTATION.decode(place.text)


def test_what_is_cut_off_keeps_its_whole_lines(sft, monkeypatch):
    from cadenza.train.listening import transcribe

    real, _ = transcribe.open_for_use(sft)
    text = "X:1\nT:\nM:2/4\nL:1/8\nQ:1/4=90\nK:C\nV:1\n[V:1]CDEF|\n[V:1]GABc|]"
    ids = [*real.codec.tokenize(text), real.codec.eos_id]

    class Parrot:
        audio_id = len(real.codec)

        def __call__(self, given, features=None, past_key_values=0, use_cache=True):
            logits = torch.full((1, 1, len(real.codec)), -9.0)
            logits[0, 0, ids[past_key_values]] = 9.0
            return SimpleNamespace(logits=logits, past_key_values=past_key_values + 1)

    parrot = SimpleNamespace(model=Parrot(), codec=real.codec, prompt=lambda n: [1])
    assert transcribe.tell(parrot, np.zeros((2, 3), np.float32)).text == text
    monkeypatch.setattr(transcribe, "MOST_TOKENS", len(ids) - 4)
    told = transcribe.tell(parrot, np.zeros((2, 3), np.float32))
    assert told.text == text[: text.rfind("[V:")]
    assert told.score.n_notes == 4


def nothing_to_say(*args, **keys):
    raise NotationError("a header", "nothing")


def test_route_b_of_the_command(sft, clips, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from cadenza.app.cli.main import app
    from cadenza.infer import heard_notes
    from cadenza.infer.heard_notes import HeardNote
    from cadenza.train.listening import transcribe

    one_voice = heard_notes.is_one_voice
    soundfile = pytest.importorskip("soundfile", reason="soundfile (extra [sound]) is not installed")
    store = ClipStore(clips / "validation")
    soundfile.write(tmp_path / "a.wav", store[0].samples, 16_000)
    text = store[0].text
    monkeypatch.setattr(
        transcribe, "tell", lambda *args, **keys: transcribe.Told(text, transcribe.NOTATION.decode(text), -1.0)
    )
    run = CliRunner().invoke(app, ["transcribe", str(tmp_path / "a.wav"), "--route", "b", "--listener", str(sft), "-o",
                                   str(tmp_path / "a.abc")])  # fmt: skip
    assert run.exit_code == 0, run.output
    assert formats.read(tmp_path / "a.abc").n_notes == transcribe.NOTATION.decode(text).n_notes
    for words in (["--quantize", "16"], ["--no-drums"], ["--tempo", "90"]):  # of route a: refused, not left unheeded
        asked = ["transcribe", str(tmp_path / "a.wav"), "--route", "b", "--listener", str(sft), "-o", "x.abc", *words]
        assert CliRunner().invoke(app, asked).exit_code != 0
    said = []
    for spans in ([(0.0, 0.5), (0.5, 1.0)], [(0.0, 1.0), (0.0, 1.0)]):  # one voice; two
        notes = tuple(HeardNote(a, b, 60 + n, 64, 0.9, np.zeros(0), np.zeros(0)) for n, (a, b) in enumerate(spans))
        monkeypatch.setattr(heard_notes, "is_one_voice", lambda found, notes=notes: one_voice(notes))
        asked = ["transcribe", str(tmp_path / "a.wav"), "--listener", str(sft), "-o", str(tmp_path / "b.abc")]
        run = CliRunner().invoke(app, asked)
        assert run.exit_code == 0, run.output
        said.append(("bits" in run.output, "route a" in run.output))
    assert said == [(True, False), (False, True)]
    assert CliRunner().invoke(app, [*asked, "--route", "a"]).exit_code != 0  # a listener that would not listen
    assert "route a: its own options" in CliRunner().invoke(app, [*asked, "--tempo", "90"]).output
    monkeypatch.setattr(heard_notes, "is_one_voice", lambda found: True)
    monkeypatch.setattr(transcribe, "tell", nothing_to_say)
    (tmp_path / "b.abc").unlink()
    run = CliRunner().invoke(app, asked)
    assert run.exit_code == 0, run.output
    assert "expected a model that writes ABC" in run.output  # and the other way writes
    assert (tmp_path / "b.abc").is_file()
    long = np.zeros(16_000 * 9, np.int16)
    soundfile.write(tmp_path / "long.wav", long, 16_000)
    with pytest.raises(Exception, match="seconds"):
        transcribe.transcribe(tmp_path / "long.wav", sft)


def test_the_shipped_listener_writes_a_tune(tmp_path):
    """A tune that it never heard, played by the built-in synthesizer: its pitches, one after another."""
    from cadenza.formats import wav
    from cadenza.train.listening import transcribe

    text = "X:1\nT:\nM:4/4\nL:1/8\nQ:1/4=110\nK:D\nV:1\n%%MIDI program 0\n[V:1]D2 FA d2 cB|A2 FD E4|]"
    tune = NOTATION.decode(text)
    short = wav.synthesize(tune, soundfont="built-in", sample_rate=16_000)[0].samples.mean(0)[: int(4.6 * 16_000)]
    soundfile = pytest.importorskip("soundfile", reason="soundfile (extra [sound]) is not installed")
    soundfile.write(tmp_path / "tune.wav", short, 16_000)
    told = transcribe.transcribe(tmp_path / "tune.wav", "shipped")
    assert told.score.tracks[0].notes["pitch"].tolist() == tune.tracks[0].notes["pitch"].tolist()
