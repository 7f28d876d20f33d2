"""TSM's shift, one frame and one channel at a time.

out[t, i] = x[t + 1, i]     for the first C // shift_div channels i      (zeros after the clip)
out[t, i] = x[t - 1, i]     for the next C // shift_div                  (zeros before it)
out[t, i] = x[t, i]         for the rest

Unidirectional: x[t - 1, i] for the first C // shift_div, the rest stays.
"""

from __future__ import annotations

import torch
from torch import Tensor


def tsm(x_BTCHW: Tensor, *, shift_div: int = 8, padding_mode: str = "zeros", online: bool = False) -> Tensor:
    """The equation above. With "replicate" a frame outside the clip is the one at that end of it."""
    _, num_frames, channels, _, _ = x_BTCHW.shape
    fold = channels // shift_div
    clips = []
    for clip in x_BTCHW:
        frames = []
        for t in range(num_frames):
            rows = []
            for i in range(channels):
                if online:
                    source = t - 1 if i < fold else t
                else:
                    source = t + 1 if i < fold else t - 1 if i < 2 * fold else t
                if padding_mode == "replicate":
                    source = min(max(source, 0), num_frames - 1)
                inside = 0 <= source < num_frames
                rows.append(clip[source, i] if inside else torch.zeros_like(clip[t, i]))
            frames.append(torch.stack(rows))
        clips.append(torch.stack(frames))
    return torch.stack(clips)
