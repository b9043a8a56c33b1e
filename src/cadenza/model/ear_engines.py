"""What runs the ear's graph: ONNX Runtime, which always is there, or OpenVINO (``cadenza[fast]``).

OpenVINO computes the same convolutions in bfloat16 where the processor has units for it (AMX), else in float32
(``benchmarks/transcribe_speed.py``). In bfloat16 curves differ by a percent or so, and a few notes with them; what is
to be the same on every machine asks for :data:`ONNX_RUNTIME`.
"""

from __future__ import annotations

import importlib.util
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import ConfigError, MissingExtraError, ModelError, did_you_mean
from cadenza.base.tensors import read_model_file
from cadenza.model.ear_graph import METADATA_KEY

ONNX_RUNTIME, OPENVINO, AUTO = "onnxruntime", "openvino", "auto"
ENGINES = (AUTO, ONNX_RUNTIME, OPENVINO)

Floats = NDArray[np.float32]


class EarEngine(Protocol):
    """Runs the graph.

    Attributes:
        name: which it is.
        said: what the graph says of itself, JSON; empty where it says nothing.
    """

    name: str
    said: str

    def __call__(self, magnitudes: Floats) -> tuple[Floats, Floats]:
        """Log magnitudes (1, 2, T, bins) → curves (1, C, T, 88) and drums (1, T, drums), logits."""
        ...


def open_engine(path: Path, threads: int | None, engine: str = AUTO) -> EarEngine:
    """A graph, ready to run.

    Args:
        engine: :data:`AUTO` takes OpenVINO where it is installed and works.

    Raises:
        ConfigError: no such engine.
        MissingExtraError: it is not installed.
        ModelError: no graph that it runs.
    """
    if engine not in ENGINES:
        raise ConfigError(f"an engine of {', '.join(ENGINES)}", repr(engine), hint=did_you_mean(engine, ENGINES))
    data = read_model_file(path)
    if engine == AUTO and importlib.util.find_spec(OPENVINO):
        with suppress(ImportError, OSError, RuntimeError, AttributeError):  # too old or broken: the other is there
            return _OpenVino(data, threads or _OpenVino.threads)
    made = _OpenVino if engine == OPENVINO else _OnnxRuntime
    try:
        return made(data, threads or made.threads)
    except ImportError:
        hint = "pip install 'cadenza[fast]'" if engine == OPENVINO else "pip install onnxruntime"
        raise MissingExtraError(made.name, "no such package", hint=hint) from None
    except Exception as error:  # the runtimes' own errors have no common root
        raise ModelError("a graph of an ear", str(error).strip()[:200], where=str(path)) from None


class _OnnxRuntime:
    name, threads = ONNX_RUNTIME, 2

    def __init__(self, data: bytes, threads: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self._session: Any = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        self.said: str = self._session.get_modelmeta().custom_metadata_map.get(METADATA_KEY, "")

    def __call__(self, magnitudes: Floats) -> tuple[Floats, Floats]:
        curves, drums = self._session.run(None, {"magnitudes": magnitudes})
        return curves, drums


class _OpenVino:
    name, threads = OPENVINO, 1

    def __init__(self, data: bytes, threads: int) -> None:
        import openvino

        core: Any = openvino.Core()
        graph = core.read_model(model=data)
        told = ["framework", METADATA_KEY]
        self.said: str = graph.get_rt_info(told).astype(str) if graph.has_rt_info(told) else ""
        wanted = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        compiled = core.compile_model(graph, "CPU", wanted)
        self._request = compiled.create_infer_request()

    def __call__(self, magnitudes: Floats) -> tuple[Floats, Floats]:
        # Outputs are views of the request's own memory, which its next run overwrites.
        curves, drums = (np.array(found) for found in self._request.infer([magnitudes]).values())
        return curves, drums
