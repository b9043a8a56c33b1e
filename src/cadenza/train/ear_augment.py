"""Rooms, microphones, noise and codecs for batches of sound, on the device that trains.

Everything that is linear is one multiplication in the frequency domain over the whole clip (circular: the start of a
clip hears its end's reverberation, which is as good as any other).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from cadenza.model.ear_features import LEVEL, SAMPLE_RATE

CLEAN_SHARE = 0.1  # of the clips stay as they were rendered
HALL_BRIGHT_SHARE = 0.5  # of the halls give treble back as they give bass: stone, tiles
HALL_SECONDS, HALL_DECIBELS = (0.8, 2.2), (-6.0, 4.0)  # reverberation time of a hall, and its sound above the straight


def augmented(
    samples: Tensor,
    generator: torch.Generator,
    room_seconds: float = 1.4,
    wettest_decibels: float = 2.0,
    hall_share: float = 0.0,
) -> Tensor:
    """Samples (B, n) as some room and device would have recorded them, at some level.

    Args:
        room_seconds: the longest time in which a room's sound falls by 60 dB.
        wettest_decibels: of the room above what comes straight, at most.
        hall_share: of the clips that are treated, how many are heard far back in a hall instead.
    """
    b, n = samples.shape
    device = samples.device

    def uniform(low: float = 0.0, high: float = 1.0) -> Tensor:
        return low + (high - low) * torch.rand(b, 1, generator=generator, device=device)

    def some(share: float) -> Tensor:
        return (uniform() < share).float()

    treated = 1 - some(CLEAN_SHARE)
    spectrum = torch.fft.rfft(samples)
    hertz = torch.fft.rfftfreq(n, 1 / SAMPLE_RATE, device=device).clamp(min=20.0)
    octaves = torch.log2(hertz / 640.0)

    # A room: noise that dies away, duller with time, behind a first gap.
    longest = max(room_seconds, HALL_SECONDS[1] if hall_share else 0.0)
    length = min(round(max(1.0, longest / 1.4) * SAMPLE_RATE), n)
    t = torch.arange(length, device=device) / SAMPLE_RATE
    decay = 0.2 + uniform() ** 1.5 * (room_seconds - 0.2)
    if hall_share:  # nothing is drawn where there are none, so that a seed means what it did
        in_hall = some(hall_share)
        decay = torch.where(in_hall > 0, uniform(*HALL_SECONDS), decay)
    envelope = torch.exp(-6.9 * t / decay) * (t > uniform(0.004, 0.024))
    response = torch.randn(b, length, generator=generator, device=device) * envelope
    response = response / (response.norm(dim=1, keepdim=True) + 1e-9)
    wet = 10 ** (-uniform(-wettest_decibels, 20) / 20) * some(0.75) * treated
    if hall_share:
        wet = torch.where(in_hall > 0, 10 ** (uniform(*HALL_DECIBELS) / 20) * treated, wet)
    dulling = uniform(0, 4)
    if hall_share:
        dulling = dulling * (1 - in_hall * some(HALL_BRIGHT_SHARE))
    damping = 10 ** (-dulling * octaves.clamp(min=0) / 20)
    spectrum = spectrum * (1 + wet * torch.fft.rfft(response, n) * damping)

    # A microphone, a speaker or an engineer: tilt, four broad bells, and sometimes no lows or no highs.
    decibels = uniform(-2, 2) * octaves
    for _ in range(4):
        decibels = decibels + uniform(-8, 8) * torch.exp(-(((octaves - uniform(-4, 4)) / uniform(0.3, 1.3)) ** 2))
    lows, highs = some(0.25), some(0.2)
    decibels = decibels - 12 * highs * (octaves - uniform(1.5, 3.5)).clamp(min=0)
    decibels = decibels - 12 * lows * (-uniform(2.3, 4.3) - octaves).clamp(min=0)
    wall = some(0.12) * (hertz > 1000 * uniform(3.4, 7.5)).float()  # a codec's
    spectrum = spectrum * 10 ** ((treated * decibels).clamp(-40, 20) / 20) * (1 - wall * treated)
    samples = torch.fft.irfft(spectrum, n)
    samples = samples / (samples.std(1, keepdim=True) + 1e-5) * LEVEL * 1.43

    noise = torch.fft.rfft(torch.randn(b, n, generator=generator, device=device))
    noise = torch.fft.irfft(noise * 10 ** (-uniform(0, 6) * octaves / 20), n)
    noise = noise / (noise.std(1, keepdim=True) + 1e-9)
    hum = torch.sin(2 * math.pi * uniform(49, 61) * torch.arange(n, device=device) / SAMPLE_RATE) * some(0.1)
    snr = uniform(12, 65)
    samples = samples + treated * LEVEL * 1.43 * 10 ** (-snr / 20) * (noise + hum)
    samples = samples * 10 ** (uniform(-12, 8) / 20)
    clipped = some(0.1) * treated
    return clipped * torch.tanh(samples * 4) / 4 + (1 - clipped) * samples
