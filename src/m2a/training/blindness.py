"""Labels that a network cannot tell apart however long it is trained: what is worth knowing before that."""

from __future__ import annotations

from collections.abc import Sequence

from m2a.data.reversal import reversal_pairs
from m2a.mechanisms import time_symmetry
from m2a.training.config import TrainConfig


def what_it_cannot_tell(config: TrainConfig, labels: Sequence[str]) -> str:
    """A warning where labels are each other's reverse and the network gives a clip and its reverse the same scores;
    "" where it does not, or there are no such labels."""
    pairs = reversal_pairs(labels)
    if not pairs or config.inflate or time_symmetry(config.mechanism, **config.mechanism_options) == "none":
        return ""
    first, second = pairs[0]
    count = f"{len(pairs)} pairs of labels are" if len(pairs) > 1 else "One pair of labels is"
    return (
        f"{count} each other's reverse, such as {first!r} and {second!r}, and with mechanism={config.mechanism} a clip "
        "and its reverse get the same scores, however long it is trained: of such a pair, with as many clips of each, "
        "it can name half. m2a list says which mechanisms see the difference."
    )
