"""A transcription as one page: sound, what was heard in it, and the sheet, lined up; nothing to load.

The recording's waveform and spectrogram, the notes as a piano roll (the surer, the darker) and the page's bar lines lie
under each other on one time line that follows the player; the sheet below shows the bar that sounds. A click anywhere
goes there. Sound is kept as FLAC at 16 kHz, what the ear hears; of long recordings the first :data:`MAX_SECONDS`.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cadenza.app.evaluation import page
from cadenza.base.errors import CadenzaError
from cadenza.formats.audio_file import open_audio
from cadenza.infer.notator import Notated
from cadenza.infer.transcribe import Transcription, measured
from cadenza.model import ear_features as front
from cadenza.model.ear import Sound
from cadenza.notation.abc import Abc
from cadenza.notation.abc.pitches import key_name
from cadenza.score.instruments import pitch_name
from cadenza.score.model import Score
from cadenza.score.time import bar_table, ticks_to_seconds

MAX_SECONDS = 900.0
PIXELS_A_SECOND = front.FRAMES_PER_SECOND  # a column of the spectrogram a frame
TILE_FRAMES = 1000
KEY_PIXELS = 4  # of the roll, a semitone
WAVE_PIXELS, DRUM_PIXELS = 60, 7
ROOM_SEMITONES = 4  # above and below the notes
DOUBTFUL = 0.6  # confidence below which a note is drawn with an outline and counted
DARKEST_DECIBELS = 60.0  # below the loudest of the spectrogram: black
DECIBELS = 40.0  # of one unit of the features

Floats = NDArray[np.float32]

STYLE = """
body { max-width: 1400px }
audio { height: 40px; position: sticky; top: .4rem; z-index: 3; margin: .8rem 0 }
.lanes { overflow: auto hidden; position: relative; border: 1px solid var(--line); border-radius: 4px }
.inner { position: relative; cursor: crosshair }
.lane { display: block; position: relative; border-bottom: 1px solid var(--line) }
.lane:last-child { border-bottom: 0 }
.lane svg { display: block; max-width: none; height: 100%; width: 100% }
.tiles { display: flex; background: #000 } .tiles img { display: block; height: 100% }
svg .wave { fill: var(--bar); stroke: none; opacity: .8 } svg .bar { stroke: var(--line) }
svg .octave { stroke: var(--line); stroke-width: .5 } svg .white { fill: var(--line); opacity: .28 }
svg rect.doubtful { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 2 1.5 }
.cursor { position: absolute; top: 0; bottom: 0; width: 2px; background: #d1540f; pointer-events: none; z-index: 2 }
.name { position: sticky; left: .4rem; display: inline-block; font-size: 12px; color: var(--quiet);
  background: color-mix(in srgb, var(--paper) 80%, transparent); padding: 0 .4rem; border-radius: 3px }
.over { position: absolute; top: 2px; left: 0; width: 100%; z-index: 1; pointer-events: none; text-align: left }
.swatch { display: inline-block; width: .8em; height: .8em; margin-right: .4em; border-radius: 2px }
.sheet { display: block; overflow-x: auto } .sheet > div { min-width: 700px }
.legend span { margin-right: 1.4em; white-space: nowrap }
"""
COLOURS = ("#3b6fb6", "#c2571a", "#2f8f5b", "#8a56ac", "#b8860b", "#c04070")  # as in every report's rolls

SCRIPT = """
const data = JSON.parse(document.getElementById('data').textContent);
const player = document.querySelector('audio'), lanes = document.querySelector('.lanes');
const inner = document.querySelector('.inner'), cursor = document.querySelector('.cursor');
const measures = [];
for (const host of document.querySelectorAll('.sheet > div')) {
  for (const group of host.shadowRoot.querySelectorAll('g.measure')) measures.push(group);
}
let shown = -1, shade = null;
function barAt(seconds) {
  let bar = -1;
  while (bar + 1 < data.bars.length && data.bars[bar + 1] <= seconds + 0.02) bar++;
  return bar;
}
function mark(bar) {
  document.body.dataset.bar = bar + 1;
  if (bar === shown) return;
  shown = bar;
  if (shade) shade.remove();
  shade = null;
  const group = measures[bar];
  if (!group) return;
  const box = group.getBBox();
  shade = document.createElementNS('http://www.w3.org/2000/svg', 'rect');
  for (const [name, value] of Object.entries({x: box.x, y: box.y, width: box.width, height: box.height})) {
    shade.setAttribute(name, value);
  }
  shade.setAttribute('style', 'fill:#d1540f;fill-opacity:.14;stroke:none;pointer-events:none');
  group.prepend(shade);
}
function show(follow) {
  const x = player.currentTime * data.pixels;
  cursor.style.left = x + 'px';
  if (follow && (x < lanes.scrollLeft + 40 || x > lanes.scrollLeft + 0.8 * lanes.clientWidth)) {
    lanes.scrollLeft = x - 0.2 * lanes.clientWidth;
  }
  mark(barAt(player.currentTime));
}
function go(seconds) { player.currentTime = Math.max(0, Math.min(seconds, data.seconds)); show(false); }
inner.addEventListener('click', event => go((event.clientX - inner.getBoundingClientRect().left) / data.pixels));
measures.forEach((group, bar) => {
  group.style.cursor = 'pointer';
  group.setAttribute('pointer-events', 'bounding-box');
  group.addEventListener('click', () => { if (bar < data.bars.length) go(data.bars[bar]); });
});
document.addEventListener('keydown', event => {
  if (event.key !== ' ' || event.target === player) return;
  event.preventDefault();
  player.paused ? player.play() : player.pause();
});
player.addEventListener('seeked', () => show(true));
(function frame() { if (!player.paused) show(true); requestAnimationFrame(frame); })();
show(false);
"""


@dataclass(frozen=True)
class _Drawn:
    """What the lanes are drawn of.

    Args:
        bars_seconds: where the bars of the page begin in the recording.
    """

    seconds: float
    low: int
    high: int
    bars_seconds: NDArray[np.float64]

    @property
    def width(self) -> float:
        return self.seconds * PIXELS_A_SECOND

    def x(self, seconds: float) -> float:
        return seconds * PIXELS_A_SECOND


def html(audio: Path, found: Transcription, notated: Notated, transcriber: str = "ear") -> str:
    """The page.

    Args:
        audio: the recording.
        found: what was heard in it.
        notated: the page made of that.
        transcriber: whose hearing it is.

    Raises:
        FormatError: the recording cannot be read any more.
    """
    drawn = _drawn(found, notated)
    samples, tiles = _sound(audio, drawn)
    pitched, drums = _roll(found, drawn), _drums(found.score, drawn)
    lanes = [
        _lane("sound", WAVE_PIXELS, _wave(samples, drawn)),
        _lane("spectrogram", (drawn.high - drawn.low + 1) * KEY_PIXELS, tiles, "tiles"),
        _lane("notes heard", (drawn.high - drawn.low + 1) * KEY_PIXELS, pitched),
        *([_lane("drums", DRUM_PIXELS * 6, drums)] if drums else []),
        _lane("", 22, _bars(drawn)),
    ]
    facts = {"bars": [round(float(at), 3) for at in drawn.bars_seconds], "pixels": PIXELS_A_SECOND,
             "seconds": round(drawn.seconds, 3)}  # fmt: skip
    parts = [
        f"<style>{STYLE}</style>",
        f"<h1>{escape(audio.name)}</h1>",
        *(f"<p>{line}</p>" for line in _said(found, notated.score, transcriber)),
        _tracks(found),
        f'<audio controls preload="auto" src="data:audio/flac;base64,{_flac(samples)}"></audio>',
        f'<div class="lanes"><div class="inner" style="width:{drawn.width:.0f}px">{"".join(lanes)}'
        '<div class="cursor"></div></div></div>',
        f'<p class="legend"><span>The surer of a note, the darker it is; <b>dashed</b>: confidence below {DOUBTFUL:g}.'
        "</span><span>Space plays and stops; a click goes there.</span></p>",
        "<h2>The page</h2>",
        *_sheet(notated.score),
        f'<script type="application/json" id="data">{json.dumps(facts)}</script>',
        f"<script>{SCRIPT}</script>",
    ]
    return page.document(f"{audio.name}: transcription", parts)


def _drawn(found: Transcription, notated: Notated) -> _Drawn:
    seconds = min(MAX_SECONDS, found.duration_seconds)
    pitches = [note.pitch for note in found.heard] or [48, 72]
    bars = np.zeros(0)
    if len(notated.ticks):
        bars = notated.seconds_at(bar_table(notated.score).starts_ticks.astype(np.float64))
    low, high = max(0, min(pitches) - ROOM_SEMITONES), min(127, max(pitches) + ROOM_SEMITONES)
    return _Drawn(seconds, low, high, bars)


def _said(found: Transcription, written: Score, transcriber: str) -> list[str]:
    """What was found, in sentences."""
    who = "cadenza's ear" if transcriber == "ear" else transcriber
    minutes, seconds = divmod(found.duration_seconds, 60)
    lines = [f"{found.score.n_notes:,} notes heard by {escape(who)} in {minutes:.0f} min {seconds:.1f} s of sound."]
    if transcriber == "ear":
        lines[0] += f" Tuned {found.tuning_cents:+.0f} cents against 440 Hz."
    speeds = [tempo.quarters_per_minute for tempo in written.tempos]
    pace = f"{speeds[0]:g}" if len(speeds) == 1 else f"{min(speeds):.0f}–{max(speeds):.0f} (a map of {len(speeds)})"
    keys = "".join(f", {key_name(key.fifths, key.mode)}" for key in written.keys[:1])
    metre = written.metres[0]
    lines.append(f"Written as {metre.numerator}/{metre.denominator} at {pace} quarters a minute{escape(keys)}.")
    if not found.complete:
        lines.append("<b>Interrupted: this is what was heard until then.</b>")
    if found.duration_seconds > MAX_SECONDS:
        lines.append(f"<b>Shown are the first {MAX_SECONDS / 60:g} minutes; the sheet is whole.</b>")
    return lines


def _tracks(found: Transcription) -> str:
    rows = []
    sure = np.array([note.confidence for note in found.heard])
    of = np.array(found.tracks, np.int64)
    for number, track in enumerate(found.score.tracks):
        own = sure[of == number] if len(of) else sure
        swatch = f'<i class="swatch" style="background:{_colour(number)}"></i>{escape(track.name)}'
        mean = "–" if track.is_drums or not len(own) else page.number(float(own.mean()))
        doubtful = "–" if track.is_drums or not len(own) else f"{int((own < DOUBTFUL).sum()):,}"
        bent = str(len(set(track.bends["note"].tolist()))) if len(track.bends) else "0"
        rows.append(
            f"<tr><td>{swatch}</td><td>{len(track):,}</td><td>{mean}</td><td>{doubtful}</td><td>{bent}</td></tr>"
        )
    head = "".join(f"<th>{word}</th>" for word in ("", "notes", "mean confidence", "doubtful", "bent"))
    return f'<div class="table"><table><tr>{head}</tr>{"".join(rows)}</table></div>'


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


# ── the lanes ────────────────────────────────────────────────────────────────────────────────────────────


def _lane(name: str, height: float, drawn: str, kind: str = "") -> str:
    label = f'<div class="over"><span class="name">{escape(name)}</span></div>' if name else ""
    return f'<div class="lane {kind}" style="height:{height:.0f}px">{drawn}{label}</div>'


def _svg(drawn: _Drawn, height: float, parts: Sequence[str], label: str) -> str:
    bars = "".join(
        f'<line class="bar" x1="{drawn.x(at):.1f}" x2="{drawn.x(at):.1f}" y1="0" y2="{height:.0f}"/>'
        for at in drawn.bars_seconds if 0 <= at <= drawn.seconds
    )  # fmt: skip
    return (
        f'<svg viewBox="0 0 {drawn.width:.1f} {height:.0f}" preserveAspectRatio="none" role="img" '
        f'aria-label="{escape(label)}">{bars}{"".join(parts)}</svg>'
    )


def _sound(audio: Path, drawn: _Drawn) -> tuple[Floats, str]:
    """The samples that are shown, and their spectrogram as images side by side."""
    file = open_audio(audio)
    level = max(measured(file)[0], 1e-6)
    samples = np.concatenate([np.zeros(0, np.float32), *file.mono(front.SAMPLE_RATE, 0.0, drawn.seconds)])
    sound, first, tiles = Sound(iter([samples]), front.LEVEL / level), 0, []
    low = round((drawn.low - front.LOWEST_AXIS - 0.5) * front.BINS_A_SEMITONE)
    high = round((drawn.high - front.LOWEST_AXIS + 0.5) * front.BINS_A_SEMITONE)
    loudest = -np.inf
    spectra = []
    while (stop := sound.frames_up_to(first + TILE_FRAMES)) > first:
        bins = sound.magnitudes(first, stop, 0.0)[1]
        bins = np.pad(bins, ((0, 0), (max(0, -low), max(0, high - front.N_BINS))), constant_values=-1.0)
        spectra.append(bins[:, max(0, low) : max(0, low) + high - low].T[::-1].astype(np.float16))
        loudest = max(loudest, float(spectra[-1].max()))
        first = stop
    for bins in spectra:
        share = np.clip(1 + (bins.astype(np.float32) - loudest) * DECIBELS / DARKEST_DECIBELS, 0, 1)
        tiles.append(f'<img alt="" width="{bins.shape[1]}" src="data:image/jpeg;base64,{_jpeg(share)}">')
    return samples, "".join(tiles)


def _jpeg(share: Floats) -> str:
    """Black over blue and orange to white."""
    from PIL import Image

    stops = np.array([[0, 0, 0], [38, 52, 110], [170, 70, 60], [240, 170, 70], [255, 250, 235]], np.float32)
    at = np.linspace(0, 1, len(stops))
    colours = np.stack([np.interp(share, at, stops[:, channel]) for channel in range(3)], axis=-1)
    buffer = io.BytesIO()
    Image.fromarray(np.rint(colours).astype(np.uint8)).save(buffer, "JPEG", quality=70)
    return base64.b64encode(buffer.getvalue()).decode()


def _flac(samples: Floats) -> str:
    import soundfile

    buffer = io.BytesIO()
    peak = max(1.0, float(np.abs(samples).max(initial=0.0)))
    soundfile.write(buffer, samples / peak, front.SAMPLE_RATE, "PCM_16", format="FLAC")
    return base64.b64encode(buffer.getvalue()).decode()


def _wave(samples: Floats, drawn: _Drawn) -> str:
    """The outline of the loudest samples of every other pixel."""
    step = 2 * front.SAMPLE_RATE // PIXELS_A_SECOND
    n = max(1, len(samples) // step)
    blocks = samples[: n * step].reshape(n, -1) if len(samples) >= step else samples[None, :]
    middle, peak = WAVE_PIXELS / 2, max(float(np.abs(samples).max(initial=0.0)), 1e-6)
    top, bottom = (middle - (middle - 3) * edge / peak for edge in (blocks.max(axis=1), blocks.min(axis=1)))
    there = [f"{2 * i} {y:.1f}" for i, y in enumerate(top)]
    back = [f"{2 * i} {y:.1f}" for i, y in reversed(list(enumerate(bottom)))]
    return _svg(drawn, WAVE_PIXELS, [f'<path class="wave" d="M{"L".join([*there, *back])}z"/>'], "waveform")


def _roll(found: Transcription, drawn: _Drawn) -> str:
    height = (drawn.high - drawn.low + 1) * KEY_PIXELS

    def y(pitch: int) -> int:
        return (drawn.high - pitch) * KEY_PIXELS

    keys = [
        f'<line class="octave" x1="0" x2="{drawn.width:.0f}" y1="{y(p) + KEY_PIXELS}" y2="{y(p) + KEY_PIXELS}"/>'
        for p in range(drawn.low, drawn.high + 1) if p % 12 == 0
    ]  # fmt: skip
    notes = []
    for note, track in zip(found.heard, found.tracks, strict=True):
        if note.onset_seconds >= drawn.seconds:
            continue
        sure = float(np.clip(note.confidence, 0, 1))
        doubtful = ' class="doubtful"' if sure < DOUBTFUL else ""
        about = (
            f"{pitch_name(note.pitch)}, {note.onset_seconds:.2f}–{note.end_seconds:.2f} s, confidence {sure:.2f}, "
            f"velocity {note.velocity}"
        )
        wide = max(1.5, drawn.x(min(note.end_seconds, drawn.seconds)) - drawn.x(note.onset_seconds))
        notes.append(
            f'<rect{doubtful} x="{drawn.x(note.onset_seconds):.1f}" y="{y(note.pitch)}" width="{wide:.1f}" '
            f'height="{KEY_PIXELS}" style="fill:{_colour(track)};fill-opacity:{0.15 + 0.85 * sure**2:.2f}">'
            f"<title>{escape(about)}</title></rect>"
        )
    return _svg(drawn, height, [*keys, *notes], "notes heard, as a piano roll")


def _drums(score: Score, drawn: _Drawn) -> str:
    """Hits by kind, from the score's drum track; empty where there is none."""
    parts = []
    for number, track in enumerate(score.tracks):
        if not track.is_drums:
            continue
        kinds = sorted({int(pitch) for pitch in track.notes["pitch"]}, reverse=True)
        onsets = ticks_to_seconds(score, track.notes["onset_ticks"])
        for at, pitch in zip(onsets.tolist(), track.notes["pitch"].tolist(), strict=True):
            if at < drawn.seconds:
                parts.append(
                    f'<rect x="{drawn.x(at):.1f}" y="{DRUM_PIXELS * kinds.index(pitch) + 1}" width="4" '
                    f'height="{DRUM_PIXELS - 2}" style="fill:{_colour(number)}"/>'
                )
    return _svg(drawn, DRUM_PIXELS * 6, parts, "drum hits") if parts else ""


def _bars(drawn: _Drawn) -> str:
    numbers = [
        f'<text class="n" x="{drawn.x(at) + 3:.1f}" y="16">{"bar " if number == 1 else ""}{number}</text>'
        for number, at in enumerate(drawn.bars_seconds, 1) if 0 <= at <= drawn.seconds
    ]  # fmt: skip
    return _svg(drawn, 22, numbers, "bar numbers")


# ── the sheet ────────────────────────────────────────────────────────────────────────────────────────────


def _sheet(score: Score) -> list[str]:
    """The engraved pages, or why there are none and the page as ABC."""
    if not score.n_notes:
        return ["<p>No notes, no page.</p>"]
    try:
        from cadenza.formats.sheet import engrave

        pages = engrave(score)
    except CadenzaError as error:
        return [f'<p class="note">{escape(str(error))}</p>', f"<pre>{escape(Abc().encode(score))}</pre>"]
    # In a shadow tree of its own, so that neither this page's style nor the engraver's reaches the other.
    own = "<style>svg{width:100%;height:auto;display:block;margin-bottom:8px}</style>"
    inside = "".join(f'<div><template shadowrootmode="open">{own}{one.svg}</template></div>' for one in pages)
    return [f'<div class="sheet">{inside}</div>']
