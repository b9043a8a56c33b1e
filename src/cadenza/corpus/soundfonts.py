"""Soundfonts as values: read, cut down to a few presets, made from GUS patches or from random timbres, written.

A whole General MIDI font is tens to hundreds of megabytes; synthesising training audio needs some fifty presets of it,
in mono, at half the sample rate. Compressed samples (.sf3: one Ogg Vorbis stream each) are copied as they are.

Sources: SoundFont 2.04 technical specification (E-mu, 2006); the GF1 patch format as timidity reads it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cadenza.base.errors import FormatError
from cadenza.base.files import write_atomically

# Generators that the code below sets or follows (specification, 8.1.2).
VIBRATO_TO_PITCH, MODULATION_TO_CUTOFF, CUTOFF, RESONANCE = 6, 11, 8, 9
DELAY_VIBRATO, VIBRATO_RATE = 23, 24
ATTACK_MODULATION, DECAY_MODULATION, SUSTAIN_MODULATION = 26, 28, 29
ATTACK, DECAY, SUSTAIN, RELEASE = 34, 36, 37, 38
PAN, INSTRUMENT, KEY_RANGE, VELOCITY_RANGE, FINE_TUNE, SAMPLE_ID, SAMPLE_MODES = 17, 41, 43, 44, 52, 53, 54

_COMPRESSED = 0x10  # bit of a sample's type in .sf3
_GUARD_SAMPLES = 46  # zeros that the specification demands after each sample

_PHDR = np.dtype(
    [("name", "S20"), ("preset", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("library", "<u4"), ("genre", "<u4"),
     ("morphology", "<u4")]
)  # fmt: skip
_BAG = np.dtype([("generator", "<u2"), ("modulator", "<u2")])
_GENERATOR = np.dtype([("operator", "<u2"), ("amount", "<i2")])
_MODULATOR_BYTES = 10
_INST = np.dtype([("name", "S20"), ("bag", "<u2")])
_SHDR = np.dtype(
    [("name", "S20"), ("start", "<u4"), ("end", "<u4"), ("loop_start", "<u4"), ("loop_end", "<u4"), ("rate", "<u4"),
     ("pitch", "u1"), ("correction", "i1"), ("link", "<u2"), ("kind", "<u2")]
)  # fmt: skip


@dataclass(frozen=True)
class Zone:
    """Generators in their order, (operator, amount as a signed 16-bit number), and modulators as stored."""

    generators: tuple[tuple[int, int], ...]
    modulators: bytes = b""

    def get(self, operator: int) -> int | None:
        """The amount of a generator, None where the zone does not set it."""
        return next((amount for op, amount in self.generators if op == operator), None)

    def with_value(self, operator: int, amount: int) -> Zone:
        """The zone with one generator set to another amount, in its place."""
        return replace(self, generators=tuple((op, amount if op == operator else a) for op, a in self.generators))


@dataclass(frozen=True)
class Instrument:
    """A name and its zones; a zone with a SAMPLE_ID generator plays that sample of the font."""

    name: str
    zones: tuple[Zone, ...]


@dataclass(frozen=True)
class Preset:
    """What a program change selects; a zone with an INSTRUMENT generator plays that instrument of the font."""

    name: str
    bank: int
    number: int
    zones: tuple[Zone, ...]


@dataclass(frozen=True)
class Sample:
    """One recorded or computed sound.

    Args:
        data: 16-bit little-endian samples, or one Ogg Vorbis stream where ``compressed``.
        loop_start, loop_end: in samples from the first one.
        pitch: MIDI note at which it plays unchanged.
        correction: cents added to that.
    """

    name: str
    data: bytes
    loop_start: int
    loop_end: int
    rate: int
    pitch: int
    correction: int = 0
    compressed: bool = False


@dataclass(frozen=True)
class Font:
    """A soundfont. ``comment`` says whose sounds they are and under which licence; it is written into the file."""

    name: str
    comment: str
    presets: tuple[Preset, ...]
    instruments: tuple[Instrument, ...]
    samples: tuple[Sample, ...]


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────


def read_font(path: Path | str) -> Font:
    """A .sf2 or .sf3 file.

    Raises:
        FormatError: it is not one.
    """
    where = str(path)
    data = Path(path).read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"sfbk":
        raise FormatError("a soundfont (RIFF sfbk)", repr(data[:12]), where=where)
    try:
        return _font(data)
    except (KeyError, ValueError, IndexError, struct.error) as error:
        raise FormatError("a whole soundfont", f"{type(error).__name__}: {error}", where=where) from error


def _font(data: bytes) -> Font:
    found: dict[bytes, bytes] = {}
    for kind, start, size in _chunks(data, 12, len(data)):
        if kind == b"LIST":
            for inner, at, length in _chunks(data, start + 4, start + size):
                found[inner] = data[at : at + length]
    shdr = np.frombuffer(found[b"shdr"], _SHDR)[:-1]
    samples = tuple(_sample(row, found[b"smpl"]) for row in shdr)
    inst = np.frombuffer(found[b"inst"], _INST)
    zones = _zones(found[b"ibag"], found[b"igen"], found[b"imod"])
    instruments = tuple(
        Instrument(_text(row["name"]), tuple(zones[row["bag"] : following["bag"]])) for row, following in pairwise(inst)
    )
    phdr = np.frombuffer(found[b"phdr"], _PHDR)
    zones = _zones(found[b"pbag"], found[b"pgen"], found[b"pmod"])
    presets = tuple(
        Preset(_text(row["name"]), int(row["bank"]), int(row["preset"]), tuple(zones[row["bag"] : following["bag"]]))
        for row, following in pairwise(phdr)
    )
    comment = " ".join(_text(found.get(kind, b"")) for kind in (b"ICOP", b"ICMT"))
    return Font(_text(found.get(b"INAM", b"")), comment, presets, instruments, samples)


def _chunks(data: bytes, at: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """(name, first byte, size); some writers of .sf3 leave out the padding byte after an odd size."""
    while at + 8 <= stop:
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        yield data[at : at + 4], at + 8, size
        at += 8 + size
        if size % 2 and data[at : at + 1] == b"\0":
            at += 1


def _text(raw: bytes) -> str:
    return raw.split(b"\0")[0].decode("latin-1").strip()


def _zones(bags: bytes, generators: bytes, modulators: bytes) -> list[Zone]:
    bag, generator = np.frombuffer(bags, _BAG), np.frombuffer(generators, _GENERATOR)
    out = []
    for this, following in pairwise(bag):
        rows = generator[this["generator"] : following["generator"]]
        span = slice(_MODULATOR_BYTES * int(this["modulator"]), _MODULATOR_BYTES * int(following["modulator"]))
        out.append(Zone(tuple((int(op), int(amount)) for op, amount in rows), modulators[span]))
    return out


def _sample(row: np.void, pool: bytes) -> Sample:
    compressed = bool(row["kind"] & _COMPRESSED)
    start, end = int(row["start"]), int(row["end"])
    # In .sf3 positions count bytes and loops are relative; in .sf2 all count samples from the pool's start.
    data = pool[start:end] if compressed else pool[2 * start : 2 * end]
    shift = 0 if compressed else start
    return Sample(
        _text(row["name"]), data, int(row["loop_start"]) - shift, int(row["loop_end"]) - shift, int(row["rate"]),
        int(row["pitch"]), int(row["correction"]), compressed,
    )  # fmt: skip


# ── cutting and joining ──────────────────────────────────────────────────────────────────────────────────


def cut(font: Font, wanted: Sequence[tuple[int, int]]) -> Font:
    """The font with only the presets (bank, number) of ``wanted`` that it has, and what they need."""
    presets = [preset for preset in font.presets if (preset.bank, preset.number) in set(wanted)]
    instruments = sorted(
        {number for preset in presets for zone in preset.zones if (number := zone.get(INSTRUMENT)) is not None}
    )
    samples = sorted(
        {
            number
            for instrument in instruments
            for zone in font.instruments[instrument].zones
            if (number := zone.get(SAMPLE_ID)) is not None
        }
    )
    new_instrument = {old: new for new, old in enumerate(instruments)}
    new_sample = {old: new for new, old in enumerate(samples)}
    return replace(
        font,
        presets=tuple(
            replace(preset, zones=tuple(_renumbered(zone, INSTRUMENT, new_instrument) for zone in preset.zones))
            for preset in presets
        ),
        instruments=tuple(
            replace(one, zones=tuple(_renumbered(zone, SAMPLE_ID, new_sample) for zone in one.zones))
            for one in (font.instruments[number] for number in instruments)
        ),
        samples=tuple(font.samples[number] for number in samples),
    )


def _renumbered(zone: Zone, operator: int, numbers: dict[int, int]) -> Zone:
    old = zone.get(operator)
    return zone if old is None else zone.with_value(operator, numbers[old])


def without_right(font: Font) -> Font:
    """The font without the zones that sound on the right only, where the same keys sound on the left too."""
    instruments = []
    for instrument in font.instruments:
        shared = next((zone for zone in instrument.zones[:1] if zone.get(SAMPLE_ID) is None), Zone(()))
        pans = [pan if (pan := zone.get(PAN)) is not None else shared.get(PAN) or 0 for zone in instrument.zones]
        left = {_keys(zone) for zone, pan in zip(instrument.zones, pans, strict=True) if pan < 0 and zone is not shared}
        kept = [z for z, pan in zip(instrument.zones, pans, strict=True) if not (pan > 0 and _keys(z) in left)]
        instruments.append(replace(instrument, zones=tuple(kept)))
    everything = [(preset.bank, preset.number) for preset in font.presets]
    return cut(replace(font, instruments=tuple(instruments)), everything)


def _keys(zone: Zone) -> tuple[int | None, int | None]:
    return zone.get(KEY_RANGE), zone.get(VELOCITY_RANGE)


def compressed(font: Font, level: float = 0.7, max_seconds: float = 12.0) -> Font:
    """The font with every sample as Ogg Vorbis (``level`` 0 = best … 1 = smallest). Needs soundfile.

    Samples longer than ``max_seconds`` that do not loop there end with it, faded out.
    """
    import io

    import soundfile

    out = []
    for sample in font.samples:
        if sample.compressed:
            wave, _ = soundfile.read(io.BytesIO(sample.data), dtype="float32")
        else:
            wave = np.frombuffer(sample.data, "<i2").astype(np.float32) / 32768
        n = max(round(max_seconds * sample.rate), sample.loop_end + 8)
        if n < len(wave):
            wave = wave[:n].copy()
            wave[-1000:] *= np.linspace(1, 0, 1000, dtype=np.float32)
        buffer = io.BytesIO()
        soundfile.write(buffer, wave, sample.rate, "VORBIS", format="OGG", compression_level=level)
        out.append(replace(sample, data=buffer.getvalue(), compressed=True))
    return replace(font, samples=tuple(out))


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────


def font_bytes(font: Font) -> bytes:
    """The font as a .sf2 file (.sf3 where samples are compressed)."""
    pool, shdr = bytearray(), np.zeros(len(font.samples) + 1, _SHDR)
    for row, sample in zip(shdr, font.samples, strict=False):
        start = len(pool) if sample.compressed else len(pool) // 2
        length = len(sample.data) if sample.compressed else len(sample.data) // 2
        shift = 0 if sample.compressed else start
        row["name"], row["rate"], row["pitch"] = sample.name.encode("latin-1", "replace"), sample.rate, sample.pitch
        row["start"], row["end"], row["correction"] = start, start + length, sample.correction
        row["loop_start"], row["loop_end"] = sample.loop_start + shift, sample.loop_end + shift
        row["kind"] = 1 | (_COMPRESSED if sample.compressed else 0)
        pool += sample.data
        if not sample.compressed:
            pool += bytes(2 * _GUARD_SAMPLES)
        pool += bytes(len(pool) % 2)
    shdr[-1]["name"] = b"EOS"
    pbag, pgen, pmod, starts = _bags([preset.zones for preset in font.presets])
    phdr = np.zeros(len(font.presets) + 1, _PHDR)
    for row, preset, first in zip(phdr, font.presets, starts, strict=False):
        row["name"], row["preset"], row["bank"] = preset.name.encode("latin-1", "replace"), preset.number, preset.bank
        row["bag"] = first
    phdr[-1]["name"], phdr[-1]["bag"] = b"EOP", len(pbag) - 1
    ibag, igen, imod, starts = _bags([instrument.zones for instrument in font.instruments])
    inst = np.zeros(len(font.instruments) + 1, _INST)
    for row, instrument, first in zip(inst, font.instruments, starts, strict=False):
        row["name"], row["bag"] = instrument.name.encode("latin-1", "replace"), first
    inst[-1]["name"], inst[-1]["bag"] = b"EOI", len(ibag) - 1
    version = (3, 1) if any(sample.compressed for sample in font.samples) else (2, 1)
    info = [(b"ifil", struct.pack("<HH", *version)), (b"INAM", font.name.encode("latin-1", "replace") + b"\0")]
    info += [(b"ICMT", font.comment.encode("latin-1", "replace")[:65_000] + b"\0")] if font.comment else []
    body = _list(b"INFO", info) + _list(b"sdta", [(b"smpl", bytes(pool))])
    body += _list(
        b"pdta",
        [
            (b"phdr", phdr.tobytes()), (b"pbag", pbag.tobytes()), (b"pmod", pmod), (b"pgen", pgen.tobytes()),
            (b"inst", inst.tobytes()), (b"ibag", ibag.tobytes()), (b"imod", imod), (b"igen", igen.tobytes()),
            (b"shdr", shdr.tobytes()),
        ],
    )  # fmt: skip
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"sfbk" + body


def write_font(font: Font, path: Path | str) -> None:
    """Write the font, atomically; the suffix says what it is: .sf3 where samples are compressed."""
    write_atomically(path, font_bytes(font))


def _bags(owners: Sequence[Sequence[Zone]]) -> tuple[NDArray[np.void], NDArray[np.void], bytes, list[int]]:
    """(bags, generators, modulators, first bag of each owner), each list closed as the specification demands."""
    bags: list[tuple[int, int]] = []
    generators: list[tuple[int, int]] = []
    starts: list[int] = []
    modulators = bytearray()
    for zones in owners:
        starts.append(len(bags))
        for zone in zones:
            bags.append((len(generators), len(modulators) // _MODULATOR_BYTES))
            generators += zone.generators
            modulators += zone.modulators
    bags.append((len(generators), len(modulators) // _MODULATOR_BYTES))
    generators.append((0, 0))
    return np.array(bags, _BAG), np.array(generators, _GENERATOR), bytes(modulators) + bytes(_MODULATOR_BYTES), starts


def _list(name: bytes, chunks: Sequence[tuple[bytes, bytes]]) -> bytes:
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in chunks)
    return b"LIST" + struct.pack("<I", len(body) + 4) + name + body


# ── GUS patches ──────────────────────────────────────────────────────────────────────────────────────────

_PATCH_HEADER, _SAMPLE_HEADER = 239, 96  # bytes
_BITS_16, _UNSIGNED, _LOOPING, _PING_PONG = 1, 2, 4, 8  # bits of a sample's modes
_STRUCK = {*range(16), *range(24, 40), 45, 46, 47, *range(104, 109)}  # programs that die away


def read_patch(path: Path) -> tuple[tuple[Zone, ...], list[Sample]]:
    """Zones (SAMPLE_ID counting from 0) and samples of one GF1 patch (.pat).

    Ping-pong loops are written out once forth and once back. Envelopes are not taken over: their units are those of
    one chip; what the format's players make of them differs too.

    Raises:
        FormatError: it is none.
    """
    data = path.read_bytes()
    if data[:12] != b"GF1PATCH110\0":
        raise FormatError("a GF1 patch", repr(data[:12]), where=str(path))
    n_samples = data[198]
    at, zones = _PATCH_HEADER, []
    samples: list[Sample] = []
    for _ in range(n_samples):
        size, loop_start, loop_end = struct.unpack_from("<III", data, at + 8)
        (rate,) = struct.unpack_from("<H", data, at + 20)
        low, high, root = (value / 1000 for value in struct.unpack_from("<III", data, at + 22))
        modes = data[at + 55]
        raw = data[at + _SAMPLE_HEADER : at + _SAMPLE_HEADER + size]
        at += _SAMPLE_HEADER + size
        wide = 2 if modes & _BITS_16 else 1
        wave = np.frombuffer(raw[: len(raw) // wide * wide], "<i2" if wide == 2 else "i1").astype(np.int32)
        if modes & _UNSIGNED:
            wave = np.where(wave < 0, wave + (1 << (8 * wide)), wave) - (1 << (8 * wide - 1))
        wave = wave if wide == 2 else wave * 256
        start, end = loop_start // wide, min(loop_end // wide, len(wave))
        if modes & _PING_PONG and modes & _LOOPING:
            wave = np.concatenate([wave[:end], wave[start:end][::-1]])
            end += end - start
        key = 69 + 12 * np.log2(root / 440)
        loops = bool(modes & _LOOPING) and end - start > 8
        generators = [(KEY_RANGE, _range(low, high))]
        generators += [(SAMPLE_MODES, 1)] if loops else []
        zones.append(Zone((*generators, (RELEASE, timecents(0.15)), (SAMPLE_ID, len(samples)))))
        cents = round(100 * (key - round(key)))
        samples.append(
            Sample(path.stem[:12] + f"-{len(samples)}", wave.astype("<i2").tobytes(), start, end, rate, round(key),
                   -cents)
        )  # fmt: skip
    return tuple(zones), samples


def _range(low: float, high: float) -> int:
    """A key range from two frequencies in hertz."""
    first, last = (int(np.clip(round(69 + 12 * np.log2(max(f, 8.0) / 440)), 0, 127)) for f in (low, high))
    return key_range(first, last)


def key_range(low: int, high: int) -> int:
    """The amount of a KEY_RANGE generator."""
    value = low | high << 8
    return value - 65536 if value >= 32768 else value


def timecents(seconds: float) -> int:
    """The amount of a time's generator."""
    return round(1200 * np.log2(max(seconds, 0.001)))


def patches_font(folder: Path, name: str, comment: str) -> Font:
    """All patches ``NNN_Name.pat`` of a folder as one font, NNN being the program."""
    presets: list[Any] = []
    instruments: list[Any] = []
    samples: list[Sample] = []
    for path in sorted(folder.glob("[0-9][0-9][0-9]_*.pat")):
        zones, own = read_patch(path)
        if int(path.stem[:3]) in _STRUCK:  # a loop alone would sound for ever
            dying = ((DECAY, timecents(14.0)), (SUSTAIN, 1000))
            zones = tuple(Zone((zone.generators[0], *dying, *zone.generators[1:])) for zone in zones)
        shifted = tuple(zone.with_value(SAMPLE_ID, (zone.get(SAMPLE_ID) or 0) + len(samples)) for zone in zones)
        presets.append(Preset(path.stem[4:24], 0, int(path.stem[:3]), (Zone(((INSTRUMENT, len(instruments)),)),)))
        instruments.append(Instrument(path.stem[4:24], shifted))
        samples += own
    return Font(name, comment, tuple(presets), tuple(instruments), tuple(samples))


# ── random timbres ───────────────────────────────────────────────────────────────────────────────────────

_TABLE_RATE = 32_000
_PERIODS_LONG = 24  # periods in a table: its length is a whole number of samples, and the pitch still nearly right


def random_font(seed: int, n_presets: int = 64) -> Font:
    """A font of timbres that no instrument has: preset 2k is plucked or struck, 2k + 1 is sustained.

    Each has a random spectral slope, formants and sometimes weak even partials or a second voice that beats
    with it, loops for ever, and gets its shape from envelopes, a filter that follows them and a vibrato.
    """
    rng = np.random.default_rng(seed)
    presets: list[Preset] = []
    instruments: list[Instrument] = []
    samples: list[Sample] = []
    for number in range(n_presets):
        sustained = bool(number % 2)
        slope, even = rng.uniform(0.4, 2.4), rng.choice([1.0, 1.0, rng.uniform(0, 0.5)])
        formants = [(rng.uniform(2.3, 3.6), rng.uniform(0.1, 0.3), rng.uniform(0, 15)) for _ in range(3)]
        phases, ripple = rng.uniform(0, 2 * np.pi, 400), rng.normal(0, 3, 400)
        shared = _shape(rng, sustained)
        beats = [0, int(rng.integers(3, 15))] if rng.random() < 0.4 else [0]  # a second string or pipe, a little off
        zones = []
        for root in range(24, 109, 7):
            hertz = 440 * 2 ** ((root - 69) / 12)
            period = max(1, round(_TABLE_RATE / hertz * _PERIODS_LONG))
            k = np.arange(1, max(2, int(0.45 * _TABLE_RATE / hertz)))[:400]
            level = -20 * slope * np.log10(k) + ripple[: len(k)]
            for place, width, gain in formants:
                level += gain * np.exp(-(((np.log10(k * hertz) - place) / width) ** 2))
            amplitude = 10 ** (level / 20) * np.where(k % 2 == 0, even, 1.0)
            # Partials are whole multiples of the table's own period, so the table loops without a seam.
            lines = k * _PERIODS_LONG
            wave = np.zeros(period)
            spectrum = np.zeros(period // 2 + 1, complex)
            inside = lines < len(spectrum)
            spectrum[lines[inside]] = (amplitude * np.exp(1j * phases[: len(k)]))[inside]
            wave = np.fft.irfft(spectrum, period)
            wave = wave / np.abs(wave).max()
            correction = round(1200 * np.log2(hertz * period / (_TABLE_RATE * _PERIODS_LONG)))
            whole = np.tile(wave, 2)[: period + 8]
            samples.append(
                Sample(f"r{number}-{root}", (whole * 20_000).astype("<i2").tobytes(), 0, period, _TABLE_RATE, root,
                       int(correction))
            )  # fmt: skip
            low, high = (0 if root == 24 else root - 3), (127 if root == 108 else root + 3)
            zones += [
                Zone((
                    (KEY_RANGE, key_range(low, high)), *shared, (FINE_TUNE, cents), (SAMPLE_MODES, 1),
                    (SAMPLE_ID, len(samples) - 1),
                ))
                for cents in beats
            ]  # fmt: skip
        presets.append(Preset(f"random {number}", 0, number, (Zone(((INSTRUMENT, number),)),)))
        instruments.append(Instrument(f"random {number}", tuple(zones)))
    return Font(f"random timbres {seed}", "computed", tuple(presets), tuple(instruments), tuple(samples))


def _shape(rng: np.random.Generator, sustained: bool) -> tuple[tuple[int, int], ...]:
    """Envelope, filter and vibrato generators."""
    attack = rng.uniform(0.005, 0.12) if sustained else rng.uniform(0.001, 0.006)
    decay = rng.uniform(0.2, 2.0) if sustained else np.exp(rng.uniform(np.log(3.0), np.log(30.0)))  # 100 dB
    sustain = rng.uniform(0, 120) if sustained else 1000  # tenths of a decibel below full
    cutoff = 6900 + 1200 * np.log2(rng.uniform(600, 8000) / 440)  # absolute cents
    generators = [
        (ATTACK, timecents(attack)), (DECAY, timecents(decay)), (SUSTAIN, int(sustain)),
        (RELEASE, timecents(rng.uniform(0.03, 0.35))), (CUTOFF, int(np.clip(cutoff, 4500, 13500))),
        (MODULATION_TO_CUTOFF, int(rng.uniform(0, 4800))), (RESONANCE, int(rng.uniform(0, 60))),
        (ATTACK_MODULATION, timecents(attack)), (DECAY_MODULATION, timecents(decay * rng.uniform(0.2, 1.0))),
        (SUSTAIN_MODULATION, int(rng.uniform(300, 1000))),
    ]  # fmt: skip
    if sustained and rng.random() < 0.7:
        rate = 1200 * np.log2(rng.uniform(4.5, 7.0) / 8.176)
        generators += [(VIBRATO_TO_PITCH, int(rng.uniform(5, 35))), (DELAY_VIBRATO, timecents(rng.uniform(0.01, 0.4))),
                       (VIBRATO_RATE, int(rate))]  # fmt: skip
    return tuple(sorted(generators))
