"""The decoder as an ONNX graph of our own, for ONNX Runtime on a CPU.

Written out rather than traced, so that it uses the runtime's fused operators (GroupQueryAttention, MatMulNBits,
SkipSimplifiedLayerNormalization) and nothing else, and so that exporting needs no torch: ``onnx`` is imported here
and only here, when :func:`build` is called.

Inputs, besides one pair of caches a layer (``past_key.0`` …, shape (B, K, capacity, head width)):

    ids              int64   (B, S)       tokens of this pass
    last             int32   (B,)         tokens so far with this pass, minus one
    total            int32   ()           tokens so far with this pass
    positions        int64   (R,)         which of the S positions get logits
    cosine, sine     float32 (M, head width / 2)

Outputs: ``logits`` float32 (B, R, V) and ``present_key.0`` …, to be bound to the same memory as the past. ``positions``
makes one graph serve both decoding (the last position) and scoring (all of them). A windowed layer keeps a cache of
its window plus slack (the runtime evicts in blocks of the slack); the others keep everything.

At 8 bits each weight row is cut into blocks of 32 with one scale a block, activations are quantised per row and
block, so one row of a batch never changes another; embeddings and normalisations stay float32.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cadenza.base.errors import ConfigError, MissingExtraError, ModelError
from cadenza.base.files import write_atomically
from cadenza.model.architecture import Architecture, checked_weights, load_folder

if TYPE_CHECKING:
    import onnx

Precision = Literal["float32", "int8"]
PRECISIONS: tuple[Precision, ...] = ("float32", "int8")
METADATA_KEY = "cadenza"
GRAPH_VERSION = 1

BLOCK = 32
_MICROSOFT = "com.microsoft"
_OPSET, _IR = 21, 10


def graph_path(folder: Path | str, precision: Precision) -> Path:
    """Where :func:`export` puts the graph of a model folder."""
    return Path(folder) / f"model.{precision}.onnx"


def export(folder: Path | str, precision: Precision = "int8") -> Path:
    """Write the graph beside the weights of a model folder, atomically, and return its path.

    Raises:
        ModelError: the folder is incomplete or its architecture is not understood.
        ConfigError: an unknown precision.
        MissingExtraError: ``onnx`` is not installed.
        FormatError: the folder is not writable.
    """
    architecture, weights = load_folder(folder)
    path = graph_path(folder, precision)
    write_atomically(path, build(architecture, weights, precision))
    return path


def build(architecture: Architecture, weights: Mapping[str, np.ndarray], precision: Precision = "int8") -> bytes:
    """The serialized graph of ``weights`` (names and shapes as ``architecture.tensor_shapes()``).

    Raises:
        ModelError: weights that do not fit the architecture, or widths that 8-bit blocks do not divide.
        ConfigError: an unknown precision.
        MissingExtraError: ``onnx`` is not installed.
    """
    if precision not in PRECISIONS:
        raise ConfigError(f"a precision of {PRECISIONS}", repr(precision))
    return _Builder(architecture, checked_weights(architecture, weights), precision).model().SerializeToString()


def quantize_blocks(weight: np.ndarray, block: int = BLOCK) -> tuple[np.ndarray, np.ndarray]:
    """Symmetric 8-bit blocks of a weight of shape (N, K).

    Returns codes, uint8 (N, K / block, block), and scales, float32 (N, K / block). A value is
    ``(code − 128) · scale``; ``scale`` is the block's greatest magnitude / 127. A block of zeros gets scale 1 and code
    128: a scale of 0 would make the runtime divide by it.
    """
    N, K = weight.shape
    blocks = weight.astype(np.float32).reshape(N, K // block, block)
    scales = np.abs(blocks).max(axis=2) / np.float32(127)
    scales[scales < np.finfo(np.float32).tiny] = 1
    codes = np.clip(np.rint(blocks / scales[..., None]), -127, 127).astype(np.int16) + 128
    return codes.astype(np.uint8), scales


class _Builder:
    """Collects nodes and initializers; every method that adds a node returns the name of its first output."""

    def __init__(self, architecture: Architecture, weights: Mapping[str, np.ndarray], precision: Precision) -> None:
        try:
            import onnx
            from onnx import helper, numpy_helper
        except ImportError:
            raise MissingExtraError(
                "the package onnx", "none", hint="Install cadenza[train]; running an exported model needs no onnx."
            ) from None
        self.onnx, self.helper, self.numpy_helper = onnx, helper, numpy_helper
        self.architecture, self.weights, self.precision = architecture, weights, precision
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def model(self) -> onnx.ModelProto:
        a, helper, types = self.architecture, self.helper, self.onnx.TensorProto
        inputs = [
            helper.make_tensor_value_info("ids", types.INT64, ["B", "S"]),
            helper.make_tensor_value_info("last", types.INT32, ["B"]),
            helper.make_tensor_value_info("total", types.INT32, []),
            helper.make_tensor_value_info("positions", types.INT64, ["R"]),
            helper.make_tensor_value_info("cosine", types.FLOAT, ["M", a.head_width // 2]),
            helper.make_tensor_value_info("sine", types.FLOAT, ["M", a.head_width // 2]),
        ]
        outputs = [helper.make_tensor_value_info("logits", types.FLOAT, ["B", "R", a.n_vocabulary])]
        for layer, window in enumerate(a.windows):
            capacity = "C" if window is None else f"C{window}"
            shape = ["B", a.n_key_value_heads, capacity, a.head_width]
            for part in ("key", "value"):
                inputs.append(helper.make_tensor_value_info(f"past_{part}.{layer}", types.FLOAT, shape))
                outputs.append(helper.make_tensor_value_info(f"present_{part}.{layer}", types.FLOAT, shape))
        self.decoder()
        graph = helper.make_graph(self.nodes, "decoder", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="cadenza")
        about = {"version": GRAPH_VERSION, "precision": self.precision, "architecture": a.as_dict()}
        helper.set_model_props(model, {METADATA_KEY: json.dumps(about)})
        return model

    def decoder(self) -> None:
        """ids (B, S) → logits (B, R, V)."""
        table = self.constant("embedding", self.weights["model.embed_tokens.weight"])
        residual = self.node("Gather", [table, "ids"], ["embedded"])
        gain = self.constant("norm.first", self.weights["model.layers.0.input_layernorm.weight"])
        x = self.norm(residual, gain, "normed.first")
        for layer in range(self.architecture.n_layers):
            x, residual = self.layer(layer, x, residual)
        kept = self.node("Gather", [x, "positions"], ["kept"], axis=1)  # (B, R, D)
        head = "model.embed_tokens.weight" if self.architecture.tied else "lm_head.weight"
        self.linear(kept, self.weights[head], "logits")

    def layer(self, layer: int, x: str, residual: str) -> tuple[str, str]:
        """One layer: normed input and residual, both (B, S, D), to those of the next layer."""
        a, at = self.architecture, f"model.layers.{layer}."
        past = [f"past_key.{layer}", f"past_value.{layer}"]
        window = a.windows[layer]
        windowed = {} if window is None else {"local_window_size": window, "sliding_window_cache": 1}
        attended = self.node(
            "GroupQueryAttention",
            [*self.queries_keys_values(x, layer), *past, "last", "total", "cosine", "sine"],
            [f"attended.{layer}", f"present_key.{layer}", f"present_value.{layer}"],
            _MICROSOFT,
            num_heads=a.n_heads,
            kv_num_heads=a.n_key_value_heads,
            do_rotary=1,
            rotary_interleaved=0,
            scale=a.head_width**-0.5,
            **windowed,
        )
        mixed = self.linear(
            attended,
            self.weights[at + "self_attn.o_proj.weight"],
            f"mixed.{layer}",
            self.weights[at + "self_attn.o_proj.bias"] if "o" in a.attention_bias else None,
        )
        x, residual = self.add_and_norm(mixed, residual, at + "post_attention_layernorm.weight", f"middle.{layer}")
        gate = self.linear(x, self.weights[at + "mlp.gate_proj.weight"], f"gate.{layer}")
        up = self.linear(x, self.weights[at + "mlp.up_proj.weight"], f"up.{layer}")
        # QuickGelu(x) = x · sigmoid(alpha · x): with alpha 1 it is SiLU in one operator.
        opened = self.node("QuickGelu", [gate], [f"opened.{layer}"], _MICROSOFT, alpha=1.0)
        product = self.node("Mul", [opened, up], [f"product.{layer}"])
        down = self.linear(product, self.weights[at + "mlp.down_proj.weight"], f"down.{layer}")
        final = layer == a.n_layers - 1
        norm = "model.norm.weight" if final else f"model.layers.{layer + 1}.input_layernorm.weight"
        return self.add_and_norm(down, residual, norm, f"end.{layer}", final=final)

    def queries_keys_values(self, x: str, layer: int) -> tuple[str, str, str]:
        """The attention's first three inputs: all in one (B, S, (H + 2K)·E), or three where heads are normalised."""
        a, at = self.architecture, f"model.layers.{layer}.self_attn."

        def joined(kind: str) -> np.ndarray:
            return np.concatenate([self.weights[f"{at}{part}_proj.{kind}"] for part in "qkv"])

        qkv = self.linear(x, joined("weight"), f"qkv.{layer}", joined("bias") if a.attention_bias else None)
        if not a.head_norms:
            return qkv, "", ""
        counts = {"q": a.n_heads, "k": a.n_key_value_heads, "v": a.n_key_value_heads}
        sizes = self.constant(f"sizes.{layer}", np.array([n * a.head_width for n in counts.values()], np.int64))
        names = {part: f"{part}.{layer}" for part in counts}
        self.node("Split", [qkv, sizes], list(names.values()), axis=-1)
        for part in "qk":  # (B, S, heads·E) → (B, S, heads, E), normalised over E, and back; 0 keeps a size
            name = names[part]
            apart = self.constant(f"{name}.apart", np.array([0, 0, counts[part], a.head_width], np.int64))
            together = self.constant(f"{name}.together", np.array([0, 0, counts[part] * a.head_width], np.int64))
            heads = self.node("Reshape", [name, apart], [f"{name}.heads"])
            gain = self.constant(f"{name}.gain", self.weights[f"{at}{part}_norm.weight"])
            normed = self.norm(heads, gain, f"{name}.normed")
            names[part] = self.node("Reshape", [normed, together], [f"{name}.joined"])
        return names["q"], names["k"], names["v"]

    def norm(self, x: str, gain: str, name: str) -> str:
        """RMS normalisation over the last axis."""
        epsilon = self.architecture.epsilon
        return self.node("SimplifiedLayerNormalization", [x, gain], [name], axis=-1, epsilon=epsilon, stash_type=1)

    def add_and_norm(self, x: str, residual: str, norm: str, name: str, final: bool = False) -> tuple[str, str]:
        """``residual + x``, and its normalisation; the last layer's sum is wanted by nobody."""
        gain = self.constant(f"{name}.gain", self.weights[norm])
        outputs = [f"{name}.normed"] if final else [f"{name}.normed", "", "", f"{name}.sum"]
        epsilon = self.architecture.epsilon
        self.node("SkipSimplifiedLayerNormalization", [x, residual, gain], outputs, _MICROSOFT, epsilon=epsilon)
        return outputs[0], outputs[-1]

    def linear(self, x: str, weight: np.ndarray, name: str, bias: np.ndarray | None = None) -> str:
        """``x @ weight.T + bias`` for a weight of shape (N, K), as transformers stores it."""
        product = self.product(x, weight, name if bias is None else f"{name}.product")
        return product if bias is None else self.node("Add", [product, self.constant(f"{name}.bias", bias)], [name])

    def product(self, x: str, weight: np.ndarray, name: str) -> str:
        """``x @ weight.T``, at the precision asked for."""
        N, K = weight.shape
        if self.precision == "float32":
            return self.node("MatMul", [x, self.constant(f"{name}.weight", weight.T)], [name])
        if K % BLOCK:
            raise ModelError(f"widths divisible by {BLOCK} for 8 bits", str(K), where=name, hint="Export as float32.")
        codes, scales = quantize_blocks(weight)
        return self.node(
            "MatMulNBits",
            [x, self.constant(f"{name}.codes", codes), self.constant(f"{name}.scales", scales)],
            [name],
            _MICROSOFT,
            K=K,
            N=N,
            bits=8,
            block_size=BLOCK,
            accuracy_level=4,  # activations in 8 bits too: integer dot products
        )

    def node(self, operator: str, inputs: list[str], outputs: list[str], domain: str = "", **attributes: Any) -> str:
        self.nodes.append(self.helper.make_node(operator, inputs, outputs, domain=domain, **attributes))
        return outputs[0]

    def constant(self, name: str, value: np.ndarray) -> str:
        self.constants.append(self.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name
