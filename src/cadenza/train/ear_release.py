"""A trained ear → the folder that listens without torch: weights, graph, facts and a card.

python -m cadenza.train.ear_release RUN --out DIR
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cadenza.base.errors import ConfigError, ModelError
from cadenza.base.files import write_atomically
from cadenza.base.tensors import write_safetensors
from cadenza.corpus.humanise import FAMILIES
from cadenza.corpus.synthesis import DRUM_CLASSES, MODE_SHARES, MODES
from cadenza.model import ear_features as front
from cadenza.model import ear_graph
from cadenza.model.ear import GRAPH_NAME, Ear, facts_json, model_facts
from cadenza.model.ear_engines import ONNX_RUNTIME
from cadenza.train.ear import load

TOLERANCE = 1e-3  # of a probability or a value, graph against network

CARD = """# cadenza ear

Hears notes in recordings: onset, end, velocity, instrument family and pitch curve of each note, and drum hits. Used by
`cadenza transcribe`; runs on ONNX Runtime, without torch.

| | |
|---|---|
| files | `ear.onnx` (what runs), `model.safetensors` (the same weights by name), `config.json` |
| shape | {parameters:,} parameters; 16 kHz, frames of 20 ms, log magnitudes of two windows on an axis of three bins a semitone, nine harmonics gathered for each of 88 pitches, eight residual blocks {width} wide shared over pitch{far} |
| trained by | `python -m cadenza.train.ear`, families at last by `cadenza.train.ear_families` (data by `benchmarks/ear_data.py`): {stages} |
| onset threshold | {threshold}, fixed on rendered works of the validation split with the training fonts |
| licence | Apache-2.0, as cadenza |

## Scores

Works of the test split, rendered with a soundfont that training never heard (TimGM6mb), onset F1 within 50 ms as the
training run measured it: {scores}. By class, beside Basic Pitch, and on the two real recordings:
`benchmarks/results/ear.json`.

## Data

Synthetic audio only; no recording of a person was heard. Scores, works of the test split left out:

- OpenScore Lieder and OpenScore String Quartets (CC0).
- Open Hymnal Project (public domain).
- Mutopia Project: public domain, and CC BY 2.5, 3.0 and 4.0 editions by A. Roche, Aaron Dalton, Anonymous, Carl M.
  Bolstad, Erik Sjölund, Klaus Rettinghaus, Kris Van Bruwaene, Ludovic Sardain, Mark Van den Borre, Peter Salewsky, Robert
  Clausecker, Robert de Vries, Ryan Prince, Silas Brown, Stephen Rhen, Urs Metzger, Ying-Chun Liu.
- Groove MIDI Dataset: J. Gillick, A. Roberts, J. Engel, D. Eck and D. Bamman, *Learning to Groove with Inverse Sequence
  Transformations*, 2019 (CC BY 4.0).
- GuitarSet: Q. Xi, R. Bittner, J. Pauwels, X. Ye and J. P. Bello, *GuitarSet: A Dataset for Guitar Transcription*, 2018
  (MIT).

Sounds: FluidR3 in mono (MIT, Frank Wen and Michael Cowgill); of MuseScore_General (MIT, S. Christian Collins and others)
what is not FluidR3's, among it a grand piano (public domain) and string sections (VSCO 2 CE, CC0); FreePats (GPL with an
exception for what is rendered);{recorded} timbres computed for the purpose. No soundfont is part of cadenza.

## Limits

Pitches 21–108. Sung words, distorted guitars, dense orchestras and percussion beyond a drum kit were little or never
heard in training. The family of an instrument is a guess: of notes found on recorded instruments right for nine of ten,
of TimGM6mb's bowed strings for hardly any (`benchmarks/results/ear_recorded.json`, `ear.json`).
"""  # noqa: E501


RECORDED = """ recorded single notes of tonejs-instruments (CC BY 3.0, N. P. Brosowsky, edited from public domain
sources, cut and tuned here);"""


def release(run: Path, out: Path, onset_threshold: float | None = None) -> dict[str, Any]:
    """Write the model folder of a run; returns its facts.

    Args:
        onset_threshold: where an onset counts, for example as ``benchmarks/ear_choose.py`` found; otherwise the one
            that was best at the end of the run.

    Raises:
        ConfigError: the threshold is no probability.
        ModelError: the graph does not say what the network says.
    """
    network, facts = load(run / "ear.pt")
    result = json.loads((run / "result.json").read_text("utf-8"))
    threshold = float(result["onset_threshold"] if onset_threshold is None else onset_threshold)
    if not 0 < threshold < 1:
        raise ConfigError("an onset threshold between 0 and 1", str(threshold))
    weights = {
        name: value.numpy() for name, value in network.state_dict().items() if value.dtype.is_floating_point
    }  # fmt: skip
    said = model_facts(FAMILIES, DRUM_CLASSES, threshold)
    graph = ear_graph.build(network.shape, weights, said)
    out.mkdir(parents=True, exist_ok=True)
    write_safetensors(out / "model.safetensors", weights)
    write_atomically(out / GRAPH_NAME, graph)
    difference = compared(network, Ear(out, threads=1, engine=ONNX_RUNTIME))
    if difference > TOLERANCE:
        raise ModelError(f"a graph within {TOLERANCE} of the network", f"{difference:.2g}", where=str(out / GRAPH_NAME))
    config = {"shape": network.shape.json(), **said, "training": facts, "graph_difference": difference}
    write_atomically(out / "config.json", facts_json(config).encode())
    tested = result.get("test", {}).get(str(threshold), {})
    seconds = network.shape.reach_frames / front.FRAMES_PER_SECOND
    card = CARD.format(
        width=network.shape.width,
        far=f", two narrow ones that look {seconds:.1f} s to either side" if network.shape.far else "",
        parameters=sum(value.size for name, value in weights.items() if "running" not in name),
        stages="; then ".join(stages(facts)),
        recorded=RECORDED if any("notes.sf3" in one for one in stages(facts)) else "",
        threshold=threshold,
        scores=", ".join(f"{kind} {value:.3f}" for kind, value in tested.items() if kind != "family")
        or "not asked for",
    )
    write_atomically(out / "README.md", card.encode())
    return config


def stages(facts: Mapping[str, Any]) -> list[str]:
    """What was done one after another to come to these weights, in words."""
    earlier = stages(facts["before"]) if facts.get("before") else []
    said = f"{facts['step']:,} steps in {facts['minutes']:.1f} minutes"
    if "audio_seconds_learned" in facts:
        heard, rendered = facts["audio_seconds_learned"] / 3600, facts["audio_seconds_rendered"] / 3600
        said += f", {heard:.1f} hours of sound heard, {rendered:.1f} hours of them different"
    if "only" in facts:
        said += f", {facts['only']} alone"
    if "fonts" in facts:
        said += f", soundfonts {', '.join(facts['fonts'])}"
    training = facts.get("training", {})
    if room := training.get("room_seconds"):
        said += f", rooms of up to {room:g} s"
    if share := training.get("hall_share"):
        said += f", {100 * share:.0f} % of the clips far back in halls"
    shares = tuple(training.get("mode_shares", MODE_SHARES))
    if shares != MODE_SHARES:
        said += f" ({', '.join(f'{mode} {100 * part:.0f} %' for mode, part in zip(MODES, shares, strict=True))})"
    return [*earlier, said]


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
    parser.add_argument("--onset-threshold", type=float, help="instead of the best one at the end of the run")
    chosen = parser.parse_args(arguments)
    config = release(chosen.run, chosen.out, chosen.onset_threshold)
    print(json.dumps(config, indent=1))


if __name__ == "__main__":
    main()
