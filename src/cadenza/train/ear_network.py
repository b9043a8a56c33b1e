"""The ear's network in torch: one small convolutional net that looks at every pitch in the same way.

Input: the two log magnitudes of :mod:`cadenza.model.ear_features`. Output: for each frame and each of 88 pitches
whether a note begins, sounds or ends, how loud it began, how far from the frame's centre it began, how far from
the key its pitch is, and which families of instruments sound it; and for each frame whether a drum was hit.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cadenza.model import ear_features as front
from cadenza.model.ear_architecture import (
    BLOCKS,
    CONTEXT_AFTER,
    CONTEXT_FRAMES,
    DRUM_FRAMES,
    FAR_AFTER,
    FAR_DILATION,
    FAR_FRAMES,
    FAR_WIDTH,
    HEADS,
    N_CHANNELS,
    EarShape,
)


class LogMagnitudes(nn.Module):
    """Samples (B, n) → (B, 2, T, bins), T = n // hop + 1; frame t is centred at t · hop."""

    def __init__(self) -> None:
        super().__init__()
        fixed = front.front_end()
        for row in range(2):
            self.register_buffer(f"window{row}", torch.from_numpy(fixed.windows[row]), persistent=False)
            self.register_buffer(f"filters{row}", torch.from_numpy(fixed.filters[row]), persistent=False)

    def forward(self, samples: Tensor) -> Tensor:
        out = []
        for row, (size, length) in enumerate(zip(front.WINDOWS, front.TRANSFORMS, strict=True)):
            window, filters = getattr(self, f"window{row}"), getattr(self, f"filters{row}")
            spectrum = torch.stft(
                samples, length, front.HOP, size, window, pad_mode="constant", return_complex=True
            ).abs()
            level = spectrum.transpose(1, 2) @ filters * (4 / size)
            out.append(torch.log10(level.clamp(min=front.FLOOR)) / 2 + 1.5)
        return torch.stack(out, 1)


class Block(nn.Module):
    """x + 1×1(ReLU(norm(conv(x)))), three frames long."""

    def __init__(self, width: int, time_dilation: int, n_pitches: int, pitch_dilation: int) -> None:
        super().__init__()
        padding = (time_dilation, pitch_dilation * (n_pitches // 2))
        self.conv = nn.Conv2d(
            width, width, (3, n_pitches), padding=padding, dilation=(time_dilation, pitch_dilation), bias=False
        )
        self.norm = nn.BatchNorm2d(width)
        self.out = nn.Conv2d(width, width, 1)
        self.folds = False

    def forward(self, x: Tensor) -> Tensor:
        seen = self._folded(x) if self.folds else self.conv(x)
        return x + self.out(F.relu(self.norm(seen)))

    def _folded(self, x: Tensor) -> Tensor:
        """The dilated convolution as a plain one over every d-th frame and pitch: some devices have no fast other."""
        b, c, t, p = x.shape
        dt, dp = self.conv.dilation
        padded = F.pad(x, (0, -p % dp, 0, -t % dt))
        rows, keys = padded.shape[2] // dt, padded.shape[3] // dp
        # (B, T, P, C) in memory; phases go to the batch.
        last = padded.permute(0, 2, 3, 1).reshape(b, rows, dt, keys, dp, c).permute(0, 2, 4, 1, 3, 5)
        plain = last.reshape(b * dt * dp, rows, keys, c).permute(0, 3, 1, 2)
        kernel = self.conv.kernel_size
        out = F.conv2d(plain, self.conv.weight, padding=(kernel[0] // 2, kernel[1] // 2))
        out = out.permute(0, 2, 3, 1).reshape(b, dt, dp, rows, keys, c).permute(0, 3, 1, 4, 2, 5)
        return out.reshape(b, rows * dt, keys * dp, c).permute(0, 3, 1, 2)[:, :, :t, :p]


class Context(nn.Module):
    """What all pitches of a frame and its neighbours say together, (B, C, T, P) → (B, C, T, 1)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(2 * width, width, CONTEXT_FRAMES, padding=CONTEXT_FRAMES // 2)
        self.second = nn.Conv1d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.mean(3), x.amax(3)], 1)
        return self.second(F.relu(self.first(pooled))).unsqueeze(3)


class Far(nn.Module):
    """x + 1×1(ReLU(norm(conv(ReLU(1×1(x)))))), narrow and far apart in time; x itself before it is trained."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(width, FAR_WIDTH, 1)
        padding = FAR_DILATION * (FAR_FRAMES // 2)
        self.conv = nn.Conv2d(
            FAR_WIDTH, FAR_WIDTH, (FAR_FRAMES, 1), padding=(padding, 0), dilation=(FAR_DILATION, 1), bias=False
        )
        self.norm = nn.BatchNorm2d(FAR_WIDTH)
        self.out = nn.Conv2d(FAR_WIDTH, width, 1)
        nn.init.zeros_(self.out.weight)
        if self.out.bias is not None:
            nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        seen: Tensor = self.conv(F.relu(self.enter(x)))
        return x + self.out(F.relu(self.norm(seen)))


class EarNetwork(nn.Module):
    """Log magnitudes (B, 2, T, bins) → dictionary of (B, T, 88) logits and values; see :data:`HEADS`.

    ``family`` is (B, families, T, 88), ``drums`` (B, T, drums).
    """

    index: Tensor
    inside: Tensor
    place: Tensor

    def __init__(self, shape: EarShape) -> None:
        super().__init__()
        self.shape = shape
        index, inside = front.gather_index()
        self.register_buffer("index", torch.from_numpy(index.T.reshape(-1).copy()), persistent=False)
        mask = np.repeat(inside.T[:, :, None], 2, axis=2).reshape(front.N_PITCHES, -1)
        self.register_buffer("inside", torch.from_numpy(mask), persistent=False)
        self.register_buffer("place", torch.linspace(-1, 1, front.N_PITCHES), persistent=False)
        width = shape.width
        self.enter = nn.Conv2d(N_CHANNELS, width, 1, bias=False)
        self.enter_norm = nn.BatchNorm2d(width)
        self.blocks = nn.ModuleList([Block(width, *block) for block in BLOCKS])
        self.contexts = nn.ModuleList([Context(width) for _ in CONTEXT_AFTER])
        self.fars = nn.ModuleList([Far(width) for _ in FAR_AFTER] if shape.far else [])
        self.heads = nn.Conv2d(width, len(HEADS) + shape.n_families, 1)
        bias = self.heads.bias
        assert bias is not None
        nn.init.zeros_(bias)
        nn.init.constant_(bias[:3], -3.0)
        self.drums = nn.Sequential(
            nn.Conv1d(2 * front.N_BINS, shape.drum_width, 1), nn.ReLU(),
            nn.Conv1d(shape.drum_width, shape.drum_width, DRUM_FRAMES, padding=DRUM_FRAMES // 2), nn.ReLU(),
            nn.Conv1d(shape.drum_width, shape.n_drums, DRUM_FRAMES, padding=DRUM_FRAMES // 2),
        )  # fmt: skip

    def gathered(self, magnitudes: Tensor) -> Tensor:
        """(B, 55, T, 88): each pitch's harmonics and its place on the keyboard."""
        b, _, t, _ = magnitudes.shape
        last = magnitudes.permute(0, 2, 3, 1)  # (B, T, bins, 2): gathers whole channels, so memory is channels-last
        picked = last[:, :, self.index].reshape(b, t, front.N_PITCHES, -1) * self.inside
        place = self.place.to(picked.dtype).view(1, 1, -1, 1).expand(b, t, -1, 1)
        return torch.cat([picked, place], 3).permute(0, 3, 1, 2)

    def forward(self, magnitudes: Tensor) -> dict[str, Tensor]:
        x = F.relu(self.enter_norm(self.enter(self.gathered(magnitudes))))
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in CONTEXT_AFTER:
                x = x + self.contexts[CONTEXT_AFTER.index(number)](x)
            if self.shape.far and number in FAR_AFTER:
                x = self.fars[FAR_AFTER.index(number)](x)
        out = self.heads(x)
        named = {name: out[:, row] for row, name in enumerate(HEADS)}
        named["family"] = out[:, len(HEADS) :]
        both = magnitudes.permute(0, 1, 3, 2).flatten(1, 2)
        named["drums"] = self.drums(both).transpose(1, 2)
        return named
