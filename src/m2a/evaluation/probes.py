"""Probes of what a model does with time: the same clips with their frames shuffled, reversed, or all the same.

Shapes: B clips, V views of each, T frames, K classes, N clips in all.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from m2a.data.reversal import reversal_map
from m2a.errors import ConfigError
from m2a.estimate import wilson

Clips = UInt8[Tensor, "B *V T 3 S S"]

PROBES: Mapping[str, str] = {
    "shuffled": "the frames in a random order, another for each clip and never the original one",
    "reversed": "the frames from the last to the first",
    "still": "the middle frame in the place of every frame",
}
"""Each changes a clip's frames after they are sampled and cropped, so that the same pixels are seen."""


def shuffled_order(clip_id: str, num_frames: int, seed: int = 0) -> list[int]:
    """The order of a clip's frames under the probe: it depends on the clip's id and the seed alone, and is never the
    identity.

    >>> shuffled_order("100218", 4)
    [0, 2, 3, 1]
    """
    rng = np.random.default_rng((seed, zlib.crc32(clip_id.encode(errors="surrogateescape"))))
    while True:
        order = rng.permutation(num_frames).tolist()
        if order != sorted(order):
            return order


def probed(clips: Clips, ids: Sequence[str], seed: int = 0) -> dict[str, Clips]:
    """A batch of decoded clips under each of `PROBES`.

    Raises ConfigError for clips of one frame, which have no order.
    """
    num_frames = clips.shape[-4]
    if num_frames < 2:
        raise ConfigError("Probes change the order of a clip's frames, and this model takes 1 frame. Leave them out.")
    shuffled = torch.stack(
        [clip[..., shuffled_order(name, num_frames, seed), :, :, :] for clip, name in zip(clips, ids, strict=True)]
    )
    still = clips[..., num_frames // 2, None, :, :, :].expand_as(clips)
    return {"shuffled": shuffled, "reversed": clips.flip(-4), "still": still}


def summarize(
    whole: Float[Tensor, "N K"],
    probes: Mapping[str, Float[Tensor, "N K"]],
    targets: Int[Tensor, " N"],
    labels: Sequence[str],
    accuracy: Callable[[Float[Tensor, "N K"], int], float],
) -> dict[str, Any]:
    """Plain values for `evaluation.json`: a row for the clips as they are and for each probe, how reversed clips were
    named, and a sentence that says what it comes to. `accuracy` gives the top-k in percent."""
    definitions = {"as filmed": "the frames in their order", **PROBES}
    scores = {"as filmed": whole, **probes}
    rows: list[dict[str, Any]] = []
    for name, probabilities in scores.items():
        top1 = accuracy(probabilities, 1)
        low, high = wilson(top1, len(targets))
        rows.append(
            {
                "probe": name,
                "definition": definitions[name],
                "top1": top1,
                "top1_low": low,
                "top1_high": high,
                "top5": accuracy(probabilities, min(5, len(labels))),
                "num_clips": len(targets),
            }
        )
    reversals = _named_backwards(whole, probes["reversed"], targets, labels)
    right = {name: probabilities.argmax(1) == targets for name, probabilities in scores.items()}
    reading = _reading({row["probe"]: row["top1"] for row in rows}, right["as filmed"], right["shuffled"])
    return {"rows": rows, "reversals": reversals, "reading": reading}


def _named_backwards(
    whole: Float[Tensor, "N K"], backwards: Float[Tensor, "N K"], targets: Int[Tensor, " N"], labels: Sequence[str]
) -> dict[str, Any] | None:
    """Of the clips whose label has a partner in time: how many are called the partner when they run backwards. None
    where no label has one."""
    partners = torch.tensor([-1 if partner is None else partner for partner in reversal_map(labels)])[targets]
    chosen = partners >= 0
    num_clips = int(chosen.sum())
    if not num_clips:
        return None

    def share(scores: Tensor, names: Tensor) -> float:
        return 100 * int((scores.argmax(1) == names)[chosen].sum()) / num_clips

    as_partner, as_label = share(backwards, partners), share(backwards, targets)
    return {
        "num_clips": num_clips,
        "as_filmed_named_label": share(whole, targets),
        "as_filmed_named_partner": share(whole, partners),
        "reversed_named_label": as_label,
        "reversed_named_partner": as_partner,
        "reading": f"Of {num_clips:,} clips whose label has a partner in time, {as_partner:.1f}% are called the "
        f"partner when they run backwards, {as_label:.1f}% still by their label.",
    }


def _reading(top1: Mapping[str, float], whole: Tensor, shuffled: Tensor) -> str:
    """In a sentence, given top-1 in percent and which clips were named rightly, (N,). Whether shuffling makes a
    difference is left to McNemar's exact test."""
    from scipy.stats import binomtest

    lost, won = int((whole & ~shuffled).sum()), int((shuffled & ~whole).sum())
    before, after = top1["as filmed"], top1["shuffled"]
    end = f"of one still frame alone it names {top1['still']:.1f}%."
    if not lost + won or binomtest(lost, lost + won).pvalue > 0.05:
        return (
            f"Shuffling the frames takes top-1 from {before:.1f}% to {after:.1f}%: these clips do not show that it "
            f"hangs on their order; {end}"
        )
    if lost > won:
        return f"Shuffling the frames takes {before - after:.1f} of {before:.1f}%: so much hangs on their order; {end}"
    return f"Shuffling the frames adds {after - before:.1f} to {before:.1f}%: their order misleads it; {end}"
