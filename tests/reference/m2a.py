"""M2A as section III of the paper writes it, frame by frame and token by token: slow, and meant to be read.

    z_t  = W_r x_t + b_r                              1x1 convolution, at every pixel
    n_t  = (z_t - mean(z_t)) / sqrt(var(z_t) + eps)   over the frame's (c, H, W)
    m_t  = n_{t+1} - n_t                              the last frame's successor: the first ("wrap"), zeros
                                                      ("zero"), or itself ("replicate");
                                                      looking back: n_t - n_{t-1}, before the first the same
    a_t  = sum_s softmax_s(m_t . m_s / sqrt(D)) m_s   D = c * H * W; looking back: s <= t
    y_t  = a_t + z_t
    out  = x_t + x_t * sigmoid(W_e y_t + b_e)

Without motion m_t = n_t. Without attention y_t is the motion of z_t itself: neither norm nor inner skip, as released.
Only sums, products, exp and sqrt of tensors, so that autograd gives the gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-5


def m2a(
    x_BTCHW: Tensor,
    reduce_weight: Tensor,
    reduce_bias: Tensor,
    expand_weight: Tensor,
    expand_bias: Tensor,
    *,
    motion: bool = True,
    attention: bool = True,
    boundary: str = "wrap",
    direction: str = "bidirectional",
    inner_skip: str = "add",
    attention_skip_weight: Tensor | None = None,
) -> Tensor:
    """The equations above. Weights are those of the 1x1 convolutions, (c, C, 1, 1) and (C, c, 1, 1). With another
    `inner_skip` than "add" y_t = a_t, or a_t + s z_t with a number s for each of the c channels."""
    clips = []
    for clip in x_BTCHW:
        z = [pointwise(frame, reduce_weight, reduce_bias) for frame in clip]
        y = temporal(z, motion=motion, attention=attention, boundary=boundary, back=direction == "unidirectional")
        if inner_skip != "add":
            y = [one - frame for one, frame in zip(y, z, strict=True)]
        if attention_skip_weight is not None:
            scale = attention_skip_weight[:, None, None]
            y = [one + scale * frame for one, frame in zip(y, z, strict=True)]
        out = []
        for frame, frame_y in zip(clip, y, strict=True):
            gate = 1 / (1 + torch.exp(-pointwise(frame_y, expand_weight, expand_bias)))
            out.append(frame + frame * gate)
        clips.append(torch.stack(out))
    return torch.stack(clips)


def temporal(z: list[Tensor], *, motion: bool, attention: bool, boundary: str, back: bool = False) -> list[Tensor]:
    """y_t of every frame of one clip from its z_t."""
    if not attention:
        return differences(z, boundary, back=back) if motion else z
    n = [layer_norm(frame) for frame in z]
    m = differences(n, boundary, back=back) if motion else n
    if back:
        attended = [attend(m[: t + 1])[t] for t in range(len(m))]
    else:
        attended = attend(m)
    return [a + frame for a, frame in zip(attended, z, strict=True)]


def pointwise(frame_CHW: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """A 1x1 convolution of one frame: output channel o is sum_i weight[o, i] frame[i] + bias[o]."""
    channels = []
    for o in range(weight.shape[0]):
        total = bias[o] + torch.zeros_like(frame_CHW[0])
        for i in range(weight.shape[1]):
            total = total + weight[o, i, 0, 0] * frame_CHW[i]
        channels.append(total)
    return torch.stack(channels)


def layer_norm(frame: Tensor) -> Tensor:
    """Mean 0 and variance 1 over all of a frame's numbers; no weights."""
    count = frame.numel()
    centred = frame - frame.sum() / count
    return centred / torch.sqrt((centred * centred).sum() / count + EPS)


def differences(frames: list[Tensor], boundary: str, *, back: bool = False) -> list[Tensor]:
    """Each frame's successor minus the frame; looking back, the frame minus its predecessor."""
    if back:
        first = {"zero": torch.zeros_like(frames[0]), "replicate": frames[0]}[boundary]
        return [now - before for before, now in zip([first, *frames[:-1]], frames, strict=True)]
    last = {"wrap": frames[0], "zero": torch.zeros_like(frames[0]), "replicate": frames[-1]}[boundary]
    following = [*frames[1:], last]
    return [after - now for after, now in zip(following, frames, strict=True)]


def attend(frames: list[Tensor]) -> list[Tensor]:
    """Softmax attention of frames over frames: query, key and value are the frame's D numbers."""
    out = []
    for row in shares(frames):
        mixed = torch.zeros_like(frames[0])
        for share, value in zip(row, frames, strict=True):
            mixed = mixed + share * value
        out.append(mixed)
    return out


def shares(frames: list[Tensor]) -> list[list[Tensor]]:
    """The softmax weights: of each query, one for each frame."""
    root = frames[0].numel() ** 0.5
    rows = []
    for query in frames:
        scores = [(query * key).sum() / root for key in frames]
        highest = max(float(score.detach()) for score in scores)  # a constant: it cancels
        powers = [torch.exp(score - highest) for score in scores]
        rows.append([power / sum(powers) for power in powers])
    return rows


def inner_values(
    clip_TCHW: Tensor,
    reduce_weight: Tensor,
    reduce_bias: Tensor,
    expand_weight: Tensor,
    expand_bias: Tensor,
    *,
    motion: bool = True,
    attention: bool = True,
    boundary: str = "wrap",
    direction: str = "bidirectional",
) -> tuple[Tensor, Tensor, Tensor]:
    """Of one clip: the softmax weights (T, T); the mean over channels of m_t squared and of the gate, both (T, H, W).
    Without motion the second, without attention the first means nothing."""
    z = [pointwise(frame, reduce_weight, reduce_bias) for frame in clip_TCHW]
    n = [layer_norm(frame) for frame in z] if attention else z
    back = direction == "unidirectional"
    m = differences(n, boundary, back=back) if motion else n
    gates = []
    for frame_y in temporal(z, motion=motion, attention=attention, boundary=boundary, back=back):
        gates.append(1 / (1 + torch.exp(-pointwise(frame_y, expand_weight, expand_bias))))
    energy = [sum(channel * channel for channel in frame) / len(frame) for frame in m]
    rows = shares(m)
    if back:
        nothing = torch.zeros_like(rows[0][0])
        rows = [shares(m[: t + 1])[t] + [nothing] * (len(m) - t - 1) for t in range(len(m))]
    return (
        torch.stack([torch.stack(row) for row in rows]),
        torch.stack(energy),
        torch.stack([sum(gate) / len(gate) for gate in gates]),
    )
