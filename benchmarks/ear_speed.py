"""How fast the ear is, in seconds of sound a CPU second on one thread: its features, and its graph by width and engine.

    python benchmarks/ear_speed.py --out FILE.json

Random weights (they do not change the time), twenty seconds of sound, the best of three goes. OpenVINO where it is
installed; where the processor has matrix units for bfloat16, channels beyond a multiple of 32 cost it as many as 64 do.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from cadenza.base.files import write_atomically
from cadenza.base.run import versions
from cadenza.model import ear_features as front
from cadenza.model import ear_graph
from cadenza.model.ear import GRAPH_NAME, Ear, model_facts
from cadenza.model.ear_architecture import EarShape
from cadenza.model.ear_engines import ONNX_RUNTIME, OPENVINO
from cadenza.train.ear_network import EarNetwork

SECONDS = 20
WIDTHS = (24, 32, 40, 48, 56, 64)
ENGINES = (ONNX_RUNTIME, *([OPENVINO] if importlib.util.find_spec(OPENVINO) else []))


def speed(run: Callable[[], object]) -> float:
    """Seconds of sound a CPU second, the best of three after one to warm up."""
    run()
    taken = []
    for _ in range(3):
        begun = time.process_time()
        run()
        taken.append(time.process_time() - begun)
    return round(SECONDS / min(taken), 1)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    out = parser.parse_args().out
    samples = np.random.default_rng(0).normal(0, 0.05, SECONDS * front.SAMPLE_RATE).astype(np.float32)
    n_frames = SECONDS * front.FRAMES_PER_SECOND
    magnitudes = front.features(samples, 0, n_frames)
    result: dict[str, object] = {
        "features": speed(lambda: front.features(samples, 0, n_frames)),
        "versions": versions(),
    }
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        for width in WIDTHS:
            network = EarNetwork(EarShape(width, far=True))
            weights = {name: value.numpy() for name, value in network.state_dict().items() if value.dim()}
            graph = ear_graph.build(network.shape, weights, model_facts(("a",) * 8, ("b",) * 5, 0.5))
            (Path(folder) / GRAPH_NAME).write_bytes(graph)
            for engine in ENGINES:
                ear = Ear(Path(folder), threads=1, engine=engine)
                result[f"graph, width {width}, {engine}"] = speed(lambda ear=ear: ear.of_magnitudes(magnitudes))
    write_atomically(out, (json.dumps(result, indent=1) + "\n").encode())
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
