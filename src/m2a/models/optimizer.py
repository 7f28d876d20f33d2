"""The optimiser of a run, which its measurements take too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from torch.optim import SGD, AdamW, Optimizer

Kind = Literal["sgd", "adamw"]
_WAYS = ("fused", "foreach")


def create_optimizer(groups: Sequence[Mapping[str, Any]], *, kind: Kind, lr: float, momentum: float = 0.9) -> Optimizer:
    """SGD with momentum, or AdamW, that takes a step by the fastest way there is.

    Args:
        groups: of `parameter_groups`. The ways differ in speed alone: on a CPU one pass over the weights, which is a
            tenth of a small step; elsewhere torch is left to choose, and takes all weights of a group at once. It
            chooses only where neither way is named: `fused=False` would have it go from weight to weight.
        kind: "sgd" or "adamw".
        lr: of groups that have none.
        momentum: of SGD.
    """
    weights = [weight for group in groups for weight in group["params"]]
    fused = True if all(weight.device.type == "cpu" for weight in weights) else None
    named = [dict(group) for group in groups]
    if kind == "sgd":
        return SGD(named, lr=lr, momentum=momentum, fused=fused)
    return AdamW(named, lr=lr, fused=fused)


def forget_way(state: Mapping[str, Any]) -> None:
    """Of an optimiser's state as it was saved: it names the way of the device that it was on, and torch would put its
    counts of steps where that way needs them."""
    for group in state["param_groups"]:
        group |= dict.fromkeys(_WAYS)


def choose_way_again(optimizer: Optimizer) -> None:
    """As `create_optimizer` did, of one that was given a state since."""
    for group in optimizer.param_groups:
        group |= {name: optimizer.defaults[name] for name in _WAYS}
