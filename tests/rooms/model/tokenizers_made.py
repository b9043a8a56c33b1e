"""Small text tokenizers as pretrained models have them, trained in a second on this package's own docstrings."""

from __future__ import annotations

import ast
import json
from functools import lru_cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

SPECIALS = ["<s>", "</s>", "<pad>"]
KINDS = ("bytes", "metaspace", "old metaspace", "unigram")


@lru_cache
def prose() -> tuple[str, ...]:
    """Docstrings of the package, sorted by file."""
    found = []
    for path in sorted((Path(__file__).parents[3] / "src" / "cadenza").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module):
                found.append(ast.get_docstring(node) or "")
    return tuple(text for text in found if text)


@lru_cache
def tokenizer(kind: str, size: int = 600) -> Tokenizer:
    """``bytes``: as GPT-2, Llama 3 and Qwen have. ``metaspace``: SentencePiece BPE with byte fallback, as Mistral has.
    ``old metaspace``: the same by a normalizer, as Llama 2 has. ``unigram``: special tokens among its pieces."""
    every = [f"<0x{n:02X}>" for n in range(256)]
    if kind == "bytes":
        made = Tokenizer(models.BPE())
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer: Any = trainers.BpeTrainer(
            vocab_size=size, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
        )
    elif kind == "unigram":
        made = Tokenizer(models.Unigram())
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        made.decoder = decoders.Metaspace(prepend_scheme="always")
        trainer = trainers.UnigramTrainer(
            vocab_size=size, special_tokens=[*SPECIALS, "<unk>"], unk_token="<unk>", show_progress=False,
            initial_alphabet=[*map(chr, range(32, 127)), "\n", "\t"],
        )  # fmt: skip
    else:
        made = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=True)
        trainer = trainers.BpeTrainer(
            vocab_size=size + 256, special_tokens=["<unk>", *SPECIALS, *every], show_progress=False,
            initial_alphabet=[*"0123456789:|ipvdtobqwmk\u2581"],
        )  # fmt: skip
    made.train_from_iterator(prose(), trainer)
    if "metaspace" in kind:
        made.decoder = decoders.Sequence(
            [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        if kind == "old metaspace":
            made.pre_tokenizer = None
            made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        plain = json.loads(made.to_str())  # the bytes are tokens of the model, not special ones
        plain["added_tokens"] = [token for token in plain["added_tokens"] if not token["content"].startswith("<0x")]
        made = Tokenizer.from_str(json.dumps(plain))
    begin = made.token_to_id("<s>")
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", begin)])
    return made


def save(folder: Path, kind: str, size: int = 600) -> Path:
    """A folder with a tokenizer, as transformers could have written it."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer(kind, size).save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>", "eos_token": "</s>",
        "pad_token": {
            "__type": "AddedToken", "content": "<pad>", "special": True, "lstrip": False, "rstrip": False,
            "single_word": False, "normalized": False,
        },
    }  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder
