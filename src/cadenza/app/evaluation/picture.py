"""Music inside a page: a piano roll as inline SVG, sound as an inline WAV file. Nothing to load."""

from __future__ import annotations

import base64
import io
import wave
from html import escape

import numpy as np

from cadenza.formats.wav import synthesize
from cadenza.score.edit import joined, select_bars, select_ticks
from cadenza.score.model import Score
from cadenza.score.time import bar_table, seconds_to_ticks

WIDTH, HEIGHT, DRUM_ROW = 460, 150, 5  # pixels
SAMPLE_RATE = 16_000
MAX_SECONDS = 24.0
FADE_SECONDS = 0.03
SILENT = "silence"


def with_lead_in(given: Score, new: Score, n_bars: int) -> tuple[Score, int]:
    """The last ``n_bars`` of what was given and what follows, and the tick where that begins."""
    n_given = len(bar_table(given))
    lead = select_bars(max(0, n_given - n_bars), n_given).apply(given)
    return joined([lead, new]), lead.length_ticks


def roll(score: Score, split_ticks: int, title: str) -> str:
    """A piano roll: pitch upwards, a colour a track, drums as a strip below; what was given is pale."""
    end = max(score.length_ticks, 1)
    pitched = [t for t in score.tracks if len(t) and not t.is_drums]
    drums = sorted({int(p) for t in score.tracks if t.is_drums for p in t.notes["pitch"]})
    pitches = np.concatenate([t.notes["pitch"] for t in pitched]) if pitched else np.array([60])
    low, high = int(pitches.min()) - 1, int(pitches.max()) + 1
    height = HEIGHT - DRUM_ROW * len(drums) if pitched else 0
    unit = height / (high - low + 1)

    def x(ticks: float) -> float:
        return WIDTH * ticks / end

    parts = [f'<line x1="{x(t):.1f}" x2="{x(t):.1f}" y1="0" y2="100%" class="bar"/>' for t in _bars(score)]
    for number, track in enumerate(score.tracks):
        for note in track.notes:
            onset, pitch = int(note["onset_ticks"]), int(note["pitch"])
            kind = f"t{number % 6}" + (" given" if onset < split_ticks else "")
            if track.is_drums:
                y: float = height + DRUM_ROW * (len(drums) - 1 - drums.index(pitch))
                wide, tall = 3.0, DRUM_ROW - 1.0
            else:
                y, tall = unit * (high - pitch), max(unit - 0.4, 1.5)
                wide = max(x(int(note["duration_ticks"])) - 0.6, 1.2)
            parts.append(
                f'<rect class="{kind}" x="{x(onset):.1f}" y="{y:.1f}" width="{wide:.1f}" height="{tall:.1f}"/>'
            )
    parts.append(f'<line x1="{x(split_ticks):.1f}" x2="{x(split_ticks):.1f}" y1="0" y2="100%" class="split"/>')
    tall = height + DRUM_ROW * len(drums)
    return (
        f'<svg class="roll" viewBox="0 0 {WIDTH} {tall:.0f}" role="img" '
        f'aria-label="{escape(title)}">{"".join(parts)}</svg>'
    )


def _bars(score: Score) -> list[int]:
    return [int(t) for t in bar_table(score).starts_ticks[1:]]


def sound(score: Score, max_seconds: float = MAX_SECONDS) -> str:
    """The score as a ``data:`` address of a 16-bit mono WAV by the built-in synthesizer, cut where it is long."""
    stop = int(seconds_to_ticks(score, max_seconds))
    if stop < score.length_ticks:
        score = select_ticks(0, max(stop, 1)).apply(score)
    audio, _ = synthesize(score, soundfont="built-in", sample_rate=SAMPLE_RATE, reverb=0.5, max_seconds=4 * max_seconds)
    mono = audio.samples.mean(axis=0)[: int(max_seconds * SAMPLE_RATE)].copy()
    fade = min(len(mono), int(FADE_SECONDS * SAMPLE_RATE))
    mono[len(mono) - fade :] *= np.linspace(1, 0, fade, dtype=mono.dtype)
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes(np.rint(np.clip(mono, -1, 1) * 32_767).astype("<i2").tobytes())
    return "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode()
