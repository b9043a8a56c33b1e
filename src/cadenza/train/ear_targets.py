"""From notes in seconds to what the ear's network should say of each frame and pitch, for a whole batch on one device.

All of it is scatter and cumulative sums, so that on an accelerator a batch of targets costs a millisecond.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from cadenza.model import ear_features as front

ONSET_FRAMES = 2.2  # half-width of the triangle around an onset: 44 ms
#: Columns of a note table: onset and end in seconds, pitch, velocity, family (−1 unknown), detuning in cents.
NOTE_COLUMNS = 6
#: Columns of a table of bent frames: frame (from the clip's start), pitch, cents.
BEND_COLUMNS = 3
#: Columns of a table of drum hits: seconds, kind, velocity.
DRUM_COLUMNS = 3

#: How much each part of the loss counts. The first two are the prototype's; the others are sized to help, not to lead.
WEIGHTS = {
    "onset": 10.0, "frame": 2.0, "offset": 2.0, "velocity": 1.0, "shift": 0.1, "bend": 0.5, "family": 0.15,
    "drums": 0.3,
}  # fmt: skip


@dataclass(frozen=True)
class Targets:
    """What the heads of a batch are held to; shapes as :class:`cadenza.train.ear_network.EarNetwork` gives them.

    Args:
        bent: frames at which a pitch curve is known to leave the key; they count more.
        known: frames whose instruments are known.
    """

    onset: Tensor
    frame: Tensor
    offset: Tensor
    velocity: Tensor
    shift: Tensor
    bend: Tensor
    bent: Tensor
    family: Tensor
    known: Tensor
    drums: Tensor


def targets(
    notes: Tensor, bends: Tensor, drums: Tensor, first_frame: Tensor, n_frames: int, n_families: int, n_drums: int
) -> Targets:
    """Targets of frames ``first_frame`` … + ``n_frames`` of each clip.

    Args:
        notes: (B, n, :data:`NOTE_COLUMNS`), unused rows with pitch −1.
        bends: (B, m, :data:`BEND_COLUMNS`), unused rows with pitch −1.
        drums: (B, d, :data:`DRUM_COLUMNS`), unused rows with kind −1.
        first_frame: (B,), which frame of its clip each row begins with.
    """
    b, device = len(notes), notes.device
    start = first_frame.to(notes.dtype)[:, None]
    begins = notes[..., 0] * front.FRAMES_PER_SECOND - start
    ends = notes[..., 1] * front.FRAMES_PER_SECOND - start
    pitch = (notes[..., 2] - front.LOWEST_PITCH).long()
    used = (pitch >= 0) & (pitch < front.N_PITCHES)
    row = torch.arange(b, device=device)[:, None].expand_as(pitch)
    shape = (b, n_frames, front.N_PITCHES)

    n_cells = b * n_frames * front.N_PITCHES

    # What lies outside is written to one cell more, which is thrown away: picking rows would stop the device to count.
    def cells(frame: Tensor, ok: Tensor, length: int = n_frames) -> Tensor:
        ok = ok & used & (frame >= 0) & (frame < length)
        place = (row * length + frame) * front.N_PITCHES + pitch
        return torch.where(ok, place, b * length * front.N_PITCHES).flatten()

    def empty(n: int) -> Tensor:
        return torch.zeros(n + 1, device=device)

    def triangles(at: Tensor) -> Tensor:
        out = empty(n_cells)
        for step in range(-2, 3):
            frame = at.round().long() + step
            value = (1 - (frame - at).abs() / ONSET_FRAMES).clamp(min=0)
            out.scatter_reduce_(0, cells(frame, used), value.flatten(), "amax")
        return out[:-1].view(shape)

    onset, offset = triangles(begins), triangles(ends)
    velocity, shift = empty(n_cells), empty(n_cells)
    for step in (2, -2, 1, -1, 0):  # nearer frames are written last
        frame = begins.round().long() + step
        place = cells(frame, used)
        velocity.scatter_(0, place, (notes[..., 3] / 127).flatten())
        shift.scatter_(0, place, (begins - frame).flatten())

    # A note from frame a to frame z adds 1 at a and takes it away at z; the running sum is 1 between.
    first = begins.round().long().clamp(0, n_frames)
    last = torch.maximum(ends.round().long(), begins.round().long() + 1).clamp(0, n_frames)
    edges = [(cells(frame, used, n_frames + 1), sign) for frame, sign in ((first, 1.0), (last, -1.0))]

    def spans(value: Tensor) -> Tensor:
        out = empty(b * (n_frames + 1) * front.N_PITCHES)
        for place, sign in edges:
            out.scatter_add_(0, place, sign * value.flatten())
        return out[:-1].view(b, n_frames + 1, front.N_PITCHES)[:, :n_frames].cumsum(1)

    count = spans(torch.ones_like(begins))
    frame = (count > 0.5).float()
    family = torch.stack([spans((notes[..., 4] == kind).float()) for kind in range(n_families)], 1)
    known = frame * (spans((notes[..., 4] < 0).float()) < 0.5)
    bend = spans(notes[..., 5]) / count.clamp(min=1) / 100

    at = (bends[..., 0] - start).long()
    key = (bends[..., 1] - front.LOWEST_PITCH).long()
    ok = (key >= 0) & (key < front.N_PITCHES) & (at >= 0) & (at < n_frames)
    which = torch.arange(b, device=device)[:, None].expand_as(at)
    place = torch.where(ok, (which * n_frames + at) * front.N_PITCHES + key, n_cells).flatten()
    more, bent = empty(n_cells), empty(n_cells)
    more.scatter_add_(0, place, bends[..., 2].float().flatten() / 100)
    bent.scatter_(0, place, 1.0)
    bend, bent = bend + more[:-1].view(shape), bent[:-1].view(shape)

    hits = empty(b * n_frames * n_drums)
    struck, kind = drums[..., 0] * front.FRAMES_PER_SECOND - start, drums[..., 1].long()
    which = torch.arange(b, device=device)[:, None].expand_as(kind)
    for step in (-1, 0, 1):
        nearest = struck.round().long() + step
        ok = (kind >= 0) & (nearest >= 0) & (nearest < n_frames)
        value = (1 - (nearest - struck).abs() / ONSET_FRAMES).clamp(min=0)
        place = torch.where(ok, (which * n_frames + nearest) * n_drums + kind, b * n_frames * n_drums)
        hits.scatter_reduce_(0, place.flatten(), value.flatten(), "amax")
    return Targets(
        onset, frame, offset, velocity[:-1].view(shape), shift[:-1].view(shape), bend, bent * frame,
        (family > 0.5).float(), known, hits[:-1].view(b, n_frames, n_drums),
    )  # fmt: skip


def losses(said: dict[str, Tensor], wanted: Targets) -> dict[str, Tensor]:
    """Each part of the loss, unweighted."""

    def positives_twice(name: str, truth: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(said[name].float(), truth, weight=1 + truth)

    def masked(value: Tensor, mask: Tensor) -> Tensor:
        return (value * mask).sum() / mask.sum().clamp(min=1)

    begun = (wanted.onset > 0).float()
    family = F.binary_cross_entropy_with_logits(said["family"].float(), wanted.family, reduction="none").mean(1)
    return {
        "onset": positives_twice("onset", wanted.onset),
        "frame": F.binary_cross_entropy_with_logits(said["frame"].float(), wanted.frame),
        "offset": positives_twice("offset", wanted.offset),
        "velocity": masked((torch.sigmoid(said["velocity"].float()) - wanted.velocity) ** 2, begun),
        "shift": masked((said["shift"].float() - wanted.shift).abs(), begun),
        "bend": masked(
            F.smooth_l1_loss(said["bend"].float(), wanted.bend, reduction="none", beta=0.1),
            wanted.frame * (1 + 3 * wanted.bent),
        ),
        "family": masked(family, wanted.known),
        "drums": positives_twice("drums", wanted.drums),
    }


def total(parts: dict[str, Tensor]) -> Tensor:
    """The weighted sum."""
    return torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()
