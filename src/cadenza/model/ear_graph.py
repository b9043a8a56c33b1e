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
from cadenza.model.ear_architecture import (
    BLOCKS,
    CONTEXT_AFTER,
    CONTEXT_FRAMES,
    DRUM_FRAMES,
    FAR_AFTER,
    FAR_DILATION,
    FAR_FRAMES,
    HEADS,
    EarShape,
    folded,
)

METADATA_KEY = "cadenza-ear"
GRAPH_VERSION = 1
_OPSET, _IR = 17, 9
_IN_CHANNELS = 56

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
        x, order = self.harmonics()
        kernel, bias = folded(weights, "enter", "enter_norm")
        padding = np.zeros((len(kernel), _IN_CHANNELS - len(order), 1, 1), np.float32)
        x = self.node("Relu", [self.convolution(x, np.concatenate([kernel[:, order], padding], 1), bias)])
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
            if shape.far and number in FAR_AFTER:
                x = self.node("Add", [x, self.far(x, f"fars.{FAR_AFTER.index(number)}")])
        self.convolution(x, self.of("heads.weight"), self.of("heads.bias"), output="curves")
        self.drums()

    def harmonics(self) -> tuple[str, NDArray[np.int64]]:
        """The gathered harmonics, (1, 56, T, 88), and which of the network's channels each of them is.

        All harmonics but the seventh lie a whole number of semitones above, to a third of one: each is a stretch of a
        view of the axis as (semitone, sub-bin), which is a copy, where picking bins one by one would be a search.
        """
        top = front.LOWEST_PITCH - int(front.LOWEST_AXIS)  # the lowest key's place on the axis, in semitones
        offsets = [round(12 * front.BINS_A_SEMITONE * float(np.log2(harmonic))) for harmonic in front.HARMONICS]
        whole = [(offset + 1) // 3 for offset in offsets]
        first, n = top + min(whole), max(whole) - min(whole) + front.N_PITCHES
        # Beyond the axis lies silence.
        needed = 3 * (first + n) + 2
        padded = self.node(
            "Pad", ["magnitudes", self.constant(np.array([0, 0, 0, 0, 0, 0, 0, needed - front.N_BINS]))]
        )  # fmt: skip
        views = {}
        for rest in sorted({offset - 3 * semitones for offset, semitones in zip(offsets, whole, strict=True)}):
            start = 3 * first + rest - 1
            part = self.sliced(padded, 3, start, start + 3 * n)
            part = self.node("Reshape", [part, self.constant(np.array([1, 2, -1, n, 3]))])
            part = self.node("Transpose", [part], perm=[0, 1, 4, 2, 3])
            views[rest] = self.node("Reshape", [part, self.constant(np.array([1, 6, -1, n]))])
        parts, order = [], []
        for row, (offset, semitones) in enumerate(zip(offsets, whole, strict=True)):
            at = top + semitones - first
            parts.append(self.sliced(views[offset - 3 * semitones], 3, at, at + front.N_PITCHES))
            order += [2 * (3 * row + sub) + window for window in range(2) for sub in range(3)]
        # The channel that says where on the keyboard a pitch is; and, since the runtime's fast convolutions take
        # channels in eights, one without weight.
        place = np.linspace(-1, 1, front.N_PITCHES, dtype=np.float32)
        nothing = self.node("Mul", [self.sliced(parts[0], 1, 0, 1), self.constant(np.zeros(1, np.float32))])
        parts += [self.node("Add", [nothing, self.constant(place)]), nothing]
        order.append(len(order))
        return self.node("Concat", parts, axis=1), np.array(order)

    def sliced(self, x: str, axis: int, start: int, stop: int) -> str:
        return self.node("Slice", [x, *(self.constant(np.array([value])) for value in (start, stop, axis))])

    def context(self, x: str, prefix: str) -> str:
        # Pooling and enlarging, unlike reducing and broadcasting, leave the channels as the convolutions have them.
        size = [1, front.N_PITCHES]
        pooled = self.node(
            "Concat",
            [self.node(kind, [x], kernel_shape=size) for kind in ("AveragePool", "MaxPool")],
            axis=1,
        )
        half = CONTEXT_FRAMES // 2
        first = self.convolution(
            pooled,
            self.of(f"{prefix}.first.weight")[..., None],
            self.of(f"{prefix}.first.bias"),
            pads=[half, 0, half, 0],
        )
        second = self.convolution(
            self.node("Relu", [first]), self.of(f"{prefix}.second.weight")[..., None], self.of(f"{prefix}.second.bias")
        )
        scales = self.constant(np.array([1, 1, 1, front.N_PITCHES], np.float32))
        return self.node(
            "Resize", [second, "", scales], mode="nearest", coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )  # fmt: skip

    def far(self, x: str, prefix: str) -> str:
        seen = self.convolution(x, self.of(f"{prefix}.enter.weight"), self.of(f"{prefix}.enter.bias"))
        kernel, bias = folded(self.weights, f"{prefix}.conv", f"{prefix}.norm")
        half = FAR_DILATION * (FAR_FRAMES // 2)
        seen = self.convolution(
            self.node("Relu", [seen]), kernel, bias, dilations=[FAR_DILATION, 1], pads=[half, 0, half, 0]
        )
        seen = self.node("Relu", [seen])
        return self.convolution(seen, self.of(f"{prefix}.out.weight"), self.of(f"{prefix}.out.bias"))

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
