"""A trained ear → the folder that listens without torch: weights, graph, facts and a card.

    python -m cadenza.train.ear_release RUN --out DIR
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cadenza.base.errors import ModelError
from cadenza.base.files import write_atomically
from cadenza.base.tensors import write_safetensors
from cadenza.corpus.synthesis import DRUM_CLASSES, FAMILIES
from cadenza.model import ear_features as front
from cadenza.model import ear_graph
from cadenza.model.ear import GRAPH_NAME, Ear, facts_json, model_facts
from cadenza.train.ear import load

TOLERANCE = 1e-3  # of a probability or a value, graph against network

CARD = """# The ear

Hears notes in recordings: onset, end, velocity, instrument family and pitch curve of each note, and drum hits. Used by
`cadenza transcribe`; runs on ONNX Runtime.

- **Shape**: {parameters:,} parameters; 16 kHz, 20 ms frames, log magnitudes of two windows on a pitch axis, harmonics
  gathered for each of 88 pitches, eight residual blocks shared over pitch.
- **Trained on** synthetic audio only: {rendered:.0f} hours rendered while it learned, {learned:.0f} hours heard in
  {minutes:.1f} minutes on one accelerator. Scores: OpenScore Lieder and Quartets (CC0), Mutopia (public domain and
  CC BY, maintainers in the collection's index), Open Hymnal (public domain), Groove MIDI (CC BY 4.0, Gillick et al.
  2019), GuitarSet (MIT, Xi et al. 2018); works of the test split left out.
  Sounds: FluidR3 mono (MIT, Frank Wen, Michael Cowgill), MuseScore_General (MIT, S. Christian Collins and others; grand
  piano public domain, string sections CC0 by VSCO 2 CE), FreePats (GPL with exception for renders), and timbres
  computed for the purpose. No recording of a person was heard.
- **Onset threshold** {threshold}, fixed on rendered works of the validation split with the training fonts.
- **Measured** on works of the test split with a soundfont kept for testing (TimGM6mb), onset F1 within 50 ms by kind:
  {scores}. More in benchmarks/results/ear.json.
- **Licence**: Apache-2.0, as cadenza.
- **Limits**: pitches 21–108; singing with words, distorted guitars, dense orchestras and percussion beyond a drum kit
  were little or never heard in training. Instrument families are guesses.
"""


def release(run: Path, out: Path) -> dict[str, Any]:
    """Write the model folder of a run; returns its facts.

    Raises:
        ModelError: the graph does not say what the network says.
    """
    network, facts = load(run / "ear.pt")
    result = json.loads((run / "result.json").read_text("utf-8"))
    threshold = float(result["onset_threshold"])
    weights = {
        name: value.numpy() for name, value in network.state_dict().items() if value.dtype.is_floating_point
    }  # fmt: skip
    said = model_facts(FAMILIES, DRUM_CLASSES, threshold)
    graph = ear_graph.build(network.shape, weights, said)
    out.mkdir(parents=True, exist_ok=True)
    write_safetensors(out / "model.safetensors", weights)
    write_atomically(out / GRAPH_NAME, graph)
    difference = compared(network, Ear(out, threads=1))
    if difference > TOLERANCE:
        raise ModelError(f"a graph within {TOLERANCE} of the network", f"{difference:.2g}", where=str(out / GRAPH_NAME))
    config = {"shape": network.shape.json(), **said, "training": facts, "graph_difference": difference}
    write_atomically(out / "config.json", facts_json(config).encode())
    tested = result.get("test", {}).get(str(result["onset_threshold"]), {})
    card = CARD.format(
        parameters=sum(value.size for name, value in weights.items() if "running" not in name),
        rendered=facts["audio_seconds_rendered"] / 3600,
        learned=facts["audio_seconds_learned"] / 3600,
        minutes=facts["minutes"],
        threshold=threshold,
        scores=", ".join(f"{kind} {value:.3f}" for kind, value in tested.items() if kind != "family"),
    )
    write_atomically(out / "README.md", card.encode())
    return config


@torch.no_grad()
def compared(network: torch.nn.Module, ear: Ear) -> float:
    """The largest difference between what graph and network say of eight seconds of chords in noise."""
    rng = np.random.default_rng(0)
    t = np.arange(8 * front.SAMPLE_RATE) / front.SAMPLE_RATE
    sound = rng.normal(0, 0.003, len(t))
    for hertz in (220.0, 277.2, 329.6, 440.0):
        for harmonic in range(1, 6):
            sound += 0.02 / harmonic * np.sin(2 * np.pi * hertz * harmonic * t) * np.exp(-(t % 1.0))
    magnitudes = front.features(sound.astype(np.float32), 0, 400)
    theirs = ear.of_magnitudes(magnitudes)
    largest = 0.0
    for name, value in network(torch.from_numpy(magnitudes)[None]).items():
        mine = value[0] if name in ("shift", "bend") else torch.sigmoid(value[0])
        largest = max(largest, float(np.abs(mine.numpy() - theirs[name]).max()))
    return largest


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("run", type=Path, help="folder with ear.pt and result.json")
    parser.add_argument("--out", type=Path, required=True)
    chosen = parser.parse_args(arguments)
    config = release(chosen.run, chosen.out)
    print(json.dumps(config, indent=1))


if __name__ == "__main__":
    main()
