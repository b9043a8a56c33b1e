"""What training starts from: a model with random weights, or a pretrained one with adapters, 4-bit weights, new tokens.

One function, :func:`open_base`, gives the model and its codec as a recipe asks for them. Traps that it guards against
(each with its test):

* bitsandbytes' 4-bit layers on processors with bf16 units give wrong gradients after one evaluation pass; the shortcut
  that does it is switched off on every layer;
* transformers replaces the whole dictionary of rotary parameters: the base's theta is carried over;
* a model's key-value cache leaks packed documents into each other in training: it is off.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cadenza.base.errors import ConfigError, MissingExtraError, ModelError
from cadenza.model.hub_vocabulary import HubVocabulary
from cadenza.model.merged_vocabulary import FILE as MERGES
from cadenza.model.merged_vocabulary import MergedVocabulary, rebalance
from cadenza.model.vocabulary import BOS, EOS, PAD, Vocabulary
from cadenza.notation.base import Notation
from cadenza.train.recipe import Rope, Scratch, TrainConfig
from cadenza.train.rows import Codec

# On import bitsandbytes warns of a faster kernel for processors that could be had from elsewhere.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

#: Embeddings are padded to a multiple of this: matrix products of odd sizes are slow.
ROUND_VOCABULARY = 32


@dataclass
class Base:
    """A model ready to be trained, and how it reads text.

    Args:
        model: on the CPU, trainable parameters in float32.
        codec: text ↔ ids.
        n_new_tokens: fields added to a pretrained vocabulary.
    """

    model: Any
    codec: Codec
    n_new_tokens: int = 0

    @property
    def n_parameters(self) -> int:
        """All parameters; 4-bit ones count each."""
        return sum(_count(p) for p in self.model.parameters())

    @property
    def n_trainable(self) -> int:
        """Those that are trained."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)


def _count(parameter: Any) -> int:
    shape = getattr(getattr(parameter, "quant_state", None), "shape", None)
    return int(torch.Size(shape).numel()) if shape is not None else int(parameter.numel())


def scratch_model(
    shape: Scratch, n_vocabulary: int, context_tokens: int, seed: int, attention: str = "sdpa", rope: Rope | None = None
) -> Any:
    """A Llama-shaped decoder with windowed layers, randomly initialised from the seed."""
    from transformers import MinistralConfig, MinistralForCausalLM

    torch.manual_seed(seed)
    kinds = {"s": "sliding_attention", "f": "full_attention"}
    pattern = (shape.layer_pattern * shape.n_layers)[: shape.n_layers]
    sizes: dict[str, Any] = {
        "vocab_size": n_vocabulary,
        "hidden_size": shape.width,
        "intermediate_size": shape.mlp_width,
        "num_hidden_layers": shape.n_layers,
        "num_attention_heads": shape.n_heads,
        "num_key_value_heads": shape.n_kv_heads,
        "head_dim": shape.head_width,
        "sliding_window": shape.window_tokens,
        "layer_types": [kinds[letter] for letter in pattern],
        "max_position_embeddings": max(4096, context_tokens),
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "pad_token_id": PAD,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "attn_implementation": attention,
    }
    config = MinistralConfig(**sizes)
    if rope is not None:
        stretch(config, rope)
    model = MinistralForCausalLM(config)
    for name, parameter in model.named_parameters():
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            torch.nn.init.zeros_(parameter)
    return model


def stretch(config: Any, rope: Rope) -> None:
    """Scale a configuration's rotary positions in place; its theta stays, its longest context grows by the factor.

    Raises:
        ConfigError: the base has scaled ones already.
    """
    if rope.kind == "none":
        return
    old = dict(getattr(config, "rope_parameters", None) or {})
    if old.get("rope_type", "default") != "default":
        raise ConfigError("a base with plain rotary positions", repr(old["rope_type"]), where="recipe rope")
    reach = int(config.max_position_embeddings)
    new = old | {"rope_type": rope.kind, "factor": float(rope.factor)}
    new.setdefault("rope_theta", float(getattr(config, "default_theta", 10000.0)))
    if rope.kind == "yarn":
        new["original_max_position_embeddings"] = reach
    config.rope_parameters = new
    if rope.kind != "dynamic":  # dynamic scaling measures the length at hand against this
        config.max_position_embeddings = int(reach * rope.factor)


def open_base(
    config: TrainConfig, fields: Sequence[str], texts: Callable[[Codec], Any] | None = None, joint: str = " "
) -> Base:
    """The model and codec that a recipe asks for.

    Args:
        fields: those of the texts, tokens of a vocabulary that is made or extended.
        texts: the training texts in pieces of ids of a codec, for the rebalanced encoding.
        joint: what stands between two fields in the texts.

    Raises:
        ModelError: there is no such model.
        MissingExtraError: bitsandbytes or peft is needed and not there.
        ConfigError: a combination that cannot be.
    """
    if config.is_scratch:
        vocabulary: Codec = Vocabulary.of(fields, joint)
        if config.rebalance and texts is not None:
            vocabulary = rebalance(vocabulary, texts(vocabulary), config.rebalance)
        size = -(-len(vocabulary) // ROUND_VOCABULARY) * ROUND_VOCABULARY
        model = scratch_model(config.shape(), size, config.context_tokens, config.seed, config.attention, config.rope)
        return Base(model, vocabulary)
    codec = open_codec(config.source)
    model = pretrained(config)
    n_rows = int(model.get_input_embeddings().weight.shape[0])
    if len(codec) > n_rows:
        raise ModelError(
            f"a tokenizer of at most {n_rows} ids, as the model has rows", str(len(codec)), where=config.base
        )
    new = 0
    if config.extend_vocabulary:
        if not isinstance(codec, HubVocabulary):
            raise ConfigError("a base with a text tokenizer to extend", "one with whole fields", where=config.base)
        codec, new = extend(model, codec, fields, joint)
    if config.method != "full":
        model = adapt(model, config, codec, new)
    else:
        for parameter in model.parameters():
            parameter.requires_grad_(True)
    return Base(model, codec, new)


def open_codec(source: Path | str) -> Codec:
    """The vocabulary of a model folder (with its merges, where it has such), or of a hub id.

    Raises:
        ModelError: there is none.
    """
    folder = Path(source)
    if not (folder / "vocabulary.json").is_file():
        return HubVocabulary.load(source)
    base = Vocabulary.load(folder / "vocabulary.json")
    return MergedVocabulary.load(base, folder / MERGES) if (folder / MERGES).is_file() else base


def pretrained(config: TrainConfig, kind: Any = None, unquantised: Sequence[str] = ()) -> Any:
    """The base's weights: 4-bit NF4 for qlora, else float32 on a processor (trained in full) as stored otherwise.

    Args:
        kind: the class of transformers that reads them; None: of a causal model.
        unquantised: names of modules that stay out of the 4 bits; the head is to be named too. Empty: the head alone.

    Raises:
        ModelError: no causal model of transformers is there.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        shape = AutoConfig.from_pretrained(config.source)
        stretch(shape, config.rope)
        options: dict[str, Any] = {"config": shape, "attn_implementation": config.attention}
        if config.method == "qlora":
            options["quantization_config"] = nf4(unquantised)
            options["dtype"] = torch.bfloat16 if config.precision == "bfloat16" else torch.float32
        else:
            # Adapters over frozen weights may leave these in half precision; what is trained is float32.
            half = config.method == "lora" and config.precision == "bfloat16"
            options["dtype"] = torch.bfloat16 if half else torch.float32
        model = (kind or AutoModelForCausalLM).from_pretrained(config.source, **options)
    except (OSError, ValueError, KeyError) as error:
        said = str(error).partition("\n")[0][:300]
        hint = "Give a folder of a saved model, a hub id that can be reached, or scratch:small."
        raise ModelError("a causal language model of transformers", said, where=config.base, hint=hint) from None
    repair_nf4(model)
    return model


def nf4(unquantised: Sequence[str] = ()) -> Any:
    """Four bits, normal float, double quantisation (Dettmers et al. 2023).

    Args:
        unquantised: full names of modules that stay as they are, in place of the head alone.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
    """
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        hint = "pip install 'cadenza[train]'"
        raise MissingExtraError("bitsandbytes, which holds 4-bit weights", "no such package", hint=hint) from None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if torch.cuda.is_available() else torch.float32,
        llm_int8_skip_modules=list(unquantised) or None,
    )


def repair_nf4(model: Any) -> int:
    """Switch off the bf16 shortcut of every 4-bit layer; returns how many there are.

    On processors with AVX512-BF16 an evaluation pass repacks the weights for inference; the backward pass then reads
    them in the old order: gradients are wrong by 86 %, silently (bitsandbytes 0.50).
    """
    # peft's adapter around such a layer has the same name.
    kinds = ("bitsandbytes", "Linear4bit")
    layers = [m for m in model.modules() if (type(m).__module__.partition(".")[0], type(m).__name__) == kinds]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
    return len(layers)


def extend(model: Any, codec: HubVocabulary, fields: Sequence[str], joint: str = " ") -> tuple[HubVocabulary, int]:
    """The fields as tokens; each new row of the embeddings is the mean of its text pieces' rows."""
    known = set(codec.fields)
    new = [field for field in fields if field not in known]
    old_rows = int(model.get_input_embeddings().weight.shape[0])
    first = codec.first_field if codec.fields else max(old_rows, len(codec))
    wider = HubVocabulary(codec.tokenizer, (*codec.fields, *new), first, joint)
    model.resize_token_embeddings(len(wider), mean_resizing=False)
    tables = [model.get_input_embeddings().weight]
    head = model.get_output_embeddings()
    if head is not None and head.weight.data_ptr() != tables[0].data_ptr():
        tables.append(head.weight)
    with torch.no_grad():
        for offset, field in enumerate(new):
            pieces = torch.tensor(codec.pieces(field), device=tables[0].device)
            for table in tables:
                table[len(wider) - len(new) + offset] = table[pieces].mean(0)
    return wider, len(new)


def adapt(model: Any, config: TrainConfig, codec: Codec | None, n_new: int, targets: Any = None) -> Any:
    """The model with trainable adapters, or with those of an earlier run; new tokens are trained beside them.

    Args:
        targets: what gets adapters, as peft takes it; None: what the recipe says.

    Raises:
        MissingExtraError: peft is not installed.
    """
    try:
        import peft
    except ImportError:
        raise MissingExtraError("peft, which makes adapters", "no such package", hint="cadenza[train]") from None

    if config.method == "qlora":
        model = peft.prepare_model_for_kbit_training(
            model,
            use_gradient_checkpointing=config.gradient_checkpointing,
            gradient_checkpointing_kwargs={"use_reentrant": False},
        )
    if config.adapter_of:
        return peft.PeftModel.from_pretrained(model, config.adapter_of, is_trainable=True)
    if targets is None:
        targets = "all-linear" if config.lora.targets == ["all-linear"] else config.lora.targets
    rows = None
    if n_new and codec is not None:
        ids = list(range(len(codec) - n_new, len(codec)))
        rows = {_name_of(model, model.get_input_embeddings()): ids}
        head = model.get_output_embeddings()
        if head is not None and head.weight.data_ptr() != model.get_input_embeddings().weight.data_ptr():
            rows[_name_of(model, head)] = ids
    torch.manual_seed(config.seed)
    return peft.get_peft_model(
        model,
        peft.LoraConfig(
            task_type="CAUSAL_LM",
            r=config.lora.rank,
            lora_alpha=config.lora.alpha,
            lora_dropout=config.lora.dropout,
            target_modules=targets,
            trainable_token_indices=rows,
        ),
    )


def _name_of(model: Any, wanted: Any) -> str:
    return next(name for name, module in model.named_modules() if module is wanted).rpartition(".")[2]


def save_notation(folder: Path, notation: Notation, context_tokens: int, manifest: dict[str, Any]) -> None:
    """``notation.json``: what the model reads and writes, never retyped: notation, options, context, wording."""
    saved = {
        "name": notation.name,
        "options": notation.options(),
        "context_tokens": context_tokens,
        "style": manifest.get("config", {}).get("style", "bare"),
        "view": manifest.get("config", {}).get("view", ""),
        "tasks": sorted(manifest.get("config", {}).get("tasks", {})),
        "prompts": manifest.get("prompts", {}),
        "corpus": manifest.get("fingerprint", ""),
    }
    (folder / "notation.json").write_text(json.dumps(saved, indent=1, ensure_ascii=False), "utf-8")
