"""A tiny chat model with random weights is asked to continue a seed; a made-up one answers with true music."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
transformers = pytest.importorskip("transformers", reason="training needs the extra [train]")

from cadenza.base.errors import ModelError  # noqa: E402
from cadenza.infer import zero_shot  # noqa: E402
from cadenza.infer.model import PLAIN_NOTATION  # noqa: E402
from cadenza.infer.sample import Sampling  # noqa: E402
from cadenza.train.chat import ChatModel  # noqa: E402
from tests.rooms.train.conftest import song  # noqa: E402

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>\n{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)


@pytest.fixture
def chat(tiny, tmp_path):
    folder = tiny("llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(tmp_path)
    transformers.AutoModelForCausalLM.from_pretrained(folder).save_pretrained(tmp_path)
    return tmp_path


def test_a_chat_model_is_asked_in_its_template(chat):
    ask = ChatModel.open(chat, max_new_tokens=12)
    question = zero_shot.messages(song(0, 2), PLAIN_NOTATION, 2)
    said = ask.prompt(question)
    assert said.startswith("<|user|>\nYou are ")
    assert said.endswith("and nothing else. Each bar begins with the word |.\n<|assistant|>\n")
    short = [{"role": "user", "content": "Write a bar."}]
    one, again = ask(short), ask(short)
    assert one == again
    assert one != ChatModel.open(chat, max_new_tokens=12, seed=1)(short)
    greedy = ChatModel.open(chat, max_new_tokens=12, sampling=Sampling(temperature=0))
    ids = greedy.tokenizer(greedy.prompt(short), return_tensors="pt", add_special_tokens=False).input_ids
    with torch.no_grad():
        first = int(greedy.model(ids).logits[0, -1].argmax())
    assert greedy(short).startswith(greedy.tokenizer.decode([first], skip_special_tokens=True))


def test_noise_of_an_untaught_model_is_an_answer_without_music(chat):
    """Random weights answer something; the seed stays as it is, and nothing breaks."""
    ask = ChatModel.open(chat, max_new_tokens=8)
    seed = song(0, 1)
    answer = zero_shot.continue_by_chat(seed, lambda _: ask([{"role": "user", "content": "Go."}]),
                                        PLAIN_NOTATION, bars=2)  # fmt: skip
    assert answer.score.n_notes == seed.n_notes + answer.n_notes
    assert answer.text


def test_a_base_model_is_refused(tiny):
    with pytest.raises(ModelError, match="chat template"):
        ChatModel.open(tiny("llama"))
    with pytest.raises(ModelError, match="chat model"):
        ChatModel.open("/nowhere/at-all")


def test_the_verb_writes_the_piece(chat, tmp_path):
    from typer.testing import CliRunner

    from cadenza import formats
    from cadenza.app.cli.model import app

    formats.write(song(0, 1), tmp_path / "seed.mid")
    out = tmp_path / "out.mid"
    words = ["ask", str(chat), str(tmp_path / "seed.mid"), "-o", str(out), "--bars", "1", "--tokens", "5", "--json"]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert formats.read(out).n_notes >= song(0, 1).n_notes
