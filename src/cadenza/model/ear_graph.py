"""The ear's network as an ONNX graph of our own, its normalisations folded into the convolutions.

Input ``magnitudes`` float32 (1, 2, T, bins); outputs ``curves`` (1, heads + families, T, 88), raw, and ``drums``
(1, T, drums), raw. ``onnx`` is imported here, when :func:`build` is called, and nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import MissingExtraError, ModelError
from cadenza.model import ear_features as front
from cadenza.model.ear_architecture import BLOCKS, CONTEXT_AFTER, CONTEXT_FRAMES, DRUM_FRAMES, HEADS, EarShape, folded

METADATA_KEY = "cadenza-ear"
GRAPH_VERSION = 1
_OPSET, _IR = 18, 9

Weights = Mapping[str, NDArray[np.float32]]


def build(shape: EarShape, weights: Weights, facts: Mapping[str, Any]) -> bytes:
    """The serialized graph; ``facts`` (names of families and drums, thresholds) travel in its metadata.

    Raises:
        ModelError: weights that do not fit.
        MissingExtraError: onnx is not installed.
    """
    try:
        import onnx
    except ImportError:
        raise MissingExtraError("onnx, which writes graphs", "not installed", hint="cadenza[train]") from None
    made = _Graph(shape, weights)
    graph = onnx.helper.make_graph(
        made.nodes,
        "ear",
        [onnx.helper.make_tensor_value_info("magnitudes", onnx.TensorProto.FLOAT, [1, 2, "T", front.N_BINS])],
        [
            onnx.helper.make_tensor_value_info(
                "curves", onnx.TensorProto.FLOAT, [1, len(HEADS) + shape.n_families, "T", front.N_PITCHES]
            ),
            onnx.helper.make_tensor_value_info("drums", onnx.TensorProto.FLOAT, [1, "T", shape.n_drums]),
        ],
        made.constants,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", _OPSET)])
    model.ir_version = _IR
    onnx.helper.set_model_props(
        model, {METADATA_KEY: json.dumps({"version": GRAPH_VERSION, "shape": shape.json(), **facts})}
    )
    onnx.checker.check_model(model)
    return model.SerializeToString()


class _Graph:
    def __init__(self, shape: EarShape, weights: Weights) -> None:
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.weights = weights
        index, inside = front.gather_index()
        # The channel order of the trainer: sub-bin after sub-bin, the two windows of each side by side.
        picked = self.node("Gather", ["magnitudes", self.constant(index)], axis=3)  # (1, 2, T, 27, 88)
        picked = self.node("Transpose", [picked], perm=[0, 3, 1, 2, 4])
        picked = self.node("Reshape", [picked, self.constant(np.array([1, 2 * len(index), -1, front.N_PITCHES]))])
        mask = np.repeat(inside, 2, axis=0)[None, :, None, :]
        picked = self.node("Mul", [picked, self.constant(mask.astype(np.float32))])
        kernel, bias = folded(weights, "enter", "enter_norm")
        # The channel that says where on the keyboard a pitch is does not depend on the sound: it is part of the bias.
        place = np.linspace(-1, 1, front.N_PITCHES, dtype=np.float32)
        constant = kernel[:, -1:, :, 0] * place + bias[:, None, None]
        x = self.convolution(picked, kernel[:, :-1], None)
        x = self.node("Relu", [self.node("Add", [x, self.constant(constant[None].astype(np.float32))])])
        for number, (time, n_pitches, pitch) in enumerate(BLOCKS):
            prefix = f"blocks.{number}"
            kernel, bias = folded(weights, f"{prefix}.conv", f"{prefix}.norm")
            seen = self.convolution(
                x, kernel, bias, dilations=[time, pitch], pads=2 * [time, pitch * (n_pitches // 2)]
            )  # fmt: skip
            seen = self.node("Relu", [seen])
            seen = self.convolution(seen, self.of(f"{prefix}.out.weight"), self.of(f"{prefix}.out.bias"))
            x = self.node("Add", [x, seen])
            if number in CONTEXT_AFTER:
                x = self.node("Add", [x, self.context(x, f"contexts.{CONTEXT_AFTER.index(number)}")])
        self.convolution(x, self.of("heads.weight"), self.of("heads.bias"), output="curves")
        self.drums()

    def context(self, x: str, prefix: str) -> str:
        axes = self.constant(np.array([3]))
        pooled = self.node(
            "Concat", [self.node("ReduceMean", [x, axes]), self.node("ReduceMax", [x, axes])], axis=1
        )  # fmt: skip
        half = CONTEXT_FRAMES // 2
        first = self.convolution(
            pooled, self.of(f"{prefix}.first.weight")[..., None], self.of(f"{prefix}.first.bias"), pads=[half, 0, half, 0]
        )
        return self.convolution(
            self.node("Relu", [first]), self.of(f"{prefix}.second.weight")[..., None], self.of(f"{prefix}.second.bias")
        )

    def drums(self) -> None:
        """The branch that looks at the whole spectrum: (1, 2, T, bins) → (1, 2 · bins, T) → convolutions over time."""
        x = self.node("Transpose", ["magnitudes"], perm=[0, 1, 3, 2])
        x = self.node("Reshape", [x, self.constant(np.array([1, 2 * front.N_BINS, -1]))])
        for layer, frames in ((0, 1), (2, DRUM_FRAMES), (4, DRUM_FRAMES)):
            kernel = self.of(f"drums.{layer}.weight")
            x = self.convolution(x, kernel, self.of(f"drums.{layer}.bias"), pads=2 * [frames // 2])
            if layer < 4:
                x = self.node("Relu", [x])
        self.node("Transpose", [x], output="drums", perm=[0, 2, 1])

    def of(self, name: str) -> NDArray[np.float32]:
        if name not in self.weights:
            raise ModelError("the weights of an ear", f"none named {name!r}")
        return np.asarray(self.weights[name], np.float32)

    def constant(self, values: NDArray[Any]) -> str:
        import onnx

        name = f"c{len(self.constants)}"
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], output: str = "", **attributes: Any) -> str:
        import onnx

        output = output or f"n{len(self.nodes)}"
        self.nodes.append(onnx.helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def convolution(
        self, x: str, kernel: NDArray[np.float32], bias: NDArray[np.float32] | None, output: str = "", **attributes: Any
    ) -> str:
        inputs = [x, self.constant(kernel)] + ([self.constant(bias)] if bias is not None else [])
        return self.node("Conv", inputs, output, kernel_shape=list(kernel.shape[2:]), **attributes)
