"""How much music a context holds, before and after a pretrained vocabulary gets the notation's fields.

    python benchmarks/vocabulary.py --out FILE.json [--data DIR] [--n 80] [--seed 0] [--words 16000]

The tokenizers are byte-level BPEs trained here on English, one that may merge digits and one that keeps them apart: the
docstrings of the Python modules that :data:`PACKAGES` names (as installed; fingerprinted in the results). Music: the
given folder's MIDI files (``--n`` drawn by ``--seed``), or the example pieces. Each is told in Simplified MIDI as
published (exact ticks, and 24 a quarter), in cadenza's profile with bar
words, and in its compact form, tokenized bar by bar as for training, (1) by the tokenizer as it is and (2) with the
notation's fields as tokens of their own (``extend_vocabulary: true``), by the very code that training uses. A control
says that the tokenizer is a fair one: its tokens a word of English text held out of its training.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import importlib.util
import json
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cadenza import formats
from cadenza.base.errors import CadenzaError
from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.notation.simplified import SimplifiedMidi
from cadenza.score.time import ticks_to_seconds
from cadenza.train.rows import tokenize_units, units

#: Whose docstrings are English: the standard library's larger modules and some packages that training brings.
PACKAGES = (
    "argparse", "ast", "asyncio", "collections", "concurrent", "configparser", "csv", "ctypes", "dataclasses",
    "datetime", "decimal", "difflib", "doctest", "email", "enum", "fractions", "functools", "http", "importlib",
    "inspect", "json", "logging", "multiprocessing", "optparse", "pathlib", "pickle", "pickletools", "random", "re",
    "shutil", "statistics", "string", "subprocess", "tarfile", "tempfile", "textwrap", "threading", "tkinter",
    "traceback", "turtle", "typing", "unittest", "urllib", "uuid", "xml", "zipfile",
    "numpy", "optuna", "rich",
)  # fmt: skip
NOTATIONS: dict[str, SimplifiedMidi] = {
    "published": SimplifiedMidi.published(),
    "published, 24 a quarter": SimplifiedMidi.published(resolution="grid:24"),
    "bars": SimplifiedMidi(bend="none", velocity="bins:8", resolution="grid:24", header="first", bars=True),
    "compact": SimplifiedMidi(
        velocity="bins:8", resolution="grid:24", header="first", bars=True, compact=True, durations="table",
        bend_step_cents=25,
    ),
}  # fmt: skip
WINDOW_TOKENS = 4096
SPECIALS = ("<s>", "</s>")


def docstrings(packages: Sequence[str] = PACKAGES, tests: bool = True) -> Iterator[str]:
    """Docstrings of packages, in the order of their files; without those of tests where so asked."""
    for package in packages:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        origin = Path(spec.origin)
        for path in sorted(origin.parent.rglob("*.py")) if origin.name == "__init__.py" else [origin]:
            if not tests and {"test", "tests"} & set(path.parts):
                continue
            try:
                tree = ast.parse(path.read_text("utf-8"))
            except (SyntaxError, ValueError, OSError, RecursionError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                    text = ast.get_docstring(node)
                    if text and len(text) > 80:
                        yield text


def trained_tokenizer(texts: list[str], n_words: int, single_digits: bool, specials: Sequence[str] = SPECIALS) -> Any:
    """A byte-level BPE trained on ``texts``.

    Args:
        specials: the first ids; beside those that begin and end a text ``<pad>``, where it fills rows.
        single_digits: each digit is a token of its own, as in Llama 2, Mistral and Qwen; else runs of digits may merge,
            as in GPT-2.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    known = Tokenizer(models.BPE())
    whole = pre_tokenizers.ByteLevel(add_prefix_space=False)
    apart = pre_tokenizers.Digits(individual_digits=True)
    known.pre_tokenizer = pre_tokenizers.Sequence([apart, whole]) if single_digits else whole
    known.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=n_words, special_tokens=list(specials), show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    known.train_from_iterator(texts, trainer)
    pad = {"pad_token": "<pad>"} if "<pad>" in specials else {}
    return PreTrainedTokenizerFast(tokenizer_object=known, bos_token="<s>", eos_token="</s>", **pad)


def measure(files: list[Path], tokenizer: Any) -> dict[str, Any]:
    """Seconds of music per 4,096 tokens of each notation, before and after."""
    found: dict[str, dict[str, Any]] = {}
    for name, notation in NOTATIONS.items():
        plain = HubVocabulary(tokenizer)
        wider = HubVocabulary(tokenizer, notation.vocabulary())
        seconds, notes, left_out, before, after = 0.0, 0, 0, 0, 0
        for path in files:
            try:
                score = formats.read(path)
                text = notation.encode(score)
            except CadenzaError:
                left_out += 1
                continue
            parts = units(text, notation.unit_start if notation.bars else "")
            ids = tokenize_units(wider, parts)
            if wider.detokenize([i for part in ids for i in part]).split() != text.split():
                raise AssertionError(f"{path}: the extended vocabulary does not say the same")
            before += sum(map(len, tokenize_units(plain, parts)))
            after += sum(map(len, ids))
            seconds += float(ticks_to_seconds(score, score.length_ticks))
            notes += score.n_notes
        found[name] = {
            "files": len(files) - left_out, "notes": notes, "fields": len(wider.fields),
            "tokens_per_note_before": round(before / notes, 3), "tokens_per_note_after": round(after / notes, 3),
            "seconds_per_4096_tokens_before": round(WINDOW_TOKENS * seconds / before, 2),
            "seconds_per_4096_tokens_after": round(WINDOW_TOKENS * seconds / after, 2),
            "times": round(before / after, 3),
        }  # fmt: skip
    return found


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--n", type=int, default=80)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--words", type=int, default=16_000)
    arguments = parser.parse_args()
    began = time.process_time()
    texts = list(docstrings())
    held, texts = texts[::50], [text for number, text in enumerate(texts) if number % 50]
    examples = Path(__file__).resolve().parents[1] / "examples"
    files = sorted(p for p in examples.iterdir() if p.suffix in (".mid", ".gp5"))
    if arguments.data:
        every = sorted(p for p in arguments.data.rglob("*") if p.suffix.lower() in (".mid", ".midi"))
        files = sorted(random.Random(arguments.seed).sample(every, min(arguments.n, len(every))))
    words = sum(len(text.split()) for text in held)
    result: dict[str, Any] = {
        "music": f"{len(files)} MIDI files drawn with seed {arguments.seed}" if arguments.data else "examples/",
        "english": {
            "docstrings": len(texts),
            "characters": sum(map(len, texts)),
            "sha256": hashlib.sha256("\0".join(texts).encode()).hexdigest(),
        },
    }
    for name, single_digits in (("digits merge, as in GPT-2", False), ("digits apart, as in Llama 2", True)):
        tokenizer = trained_tokenizer(texts, arguments.words, single_digits)
        english = sum(len(tokenizer(text).input_ids) for text in held) / words
        measured = measure(files, tokenizer)
        result[name] = {"tokens": len(tokenizer), "tokens_per_english_word_held_out": round(english, 3), **measured}
    result |= {"cpu_seconds": round(time.process_time() - began, 1), "versions": versions()}
    write_atomically(arguments.out, json.dumps(result, indent=1).encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
