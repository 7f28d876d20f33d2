"""From the scores of frames to the scores of a clip (Wang et al.: "Temporal Segment Networks for Action Recognition in
Videos", 2018, section 3.2).

Shapes: B clips, S frames, K classes, F features.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from m2a.errors import ConfigError

Consensus = Literal["avg", "attention"]


class AverageConsensus(nn.Module):
    """The mean over frames."""

    def forward(self, scores_BSK: Float[Tensor, "B S K"], features_BSF: Float[Tensor, "B S F"]) -> Float[Tensor, "B K"]:
        return scores_BSK.mean(dim=1)


class AttentionConsensus(nn.Module):
    """The mean over frames, weighted by softmax over time of w . features (TSN's attention weighting), of any number of
    frames. w starts at zero, that is with the plain mean."""

    def __init__(self, num_features: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(num_features))

    def forward(self, scores_BSK: Float[Tensor, "B S K"], features_BSF: Float[Tensor, "B S F"]) -> Float[Tensor, "B K"]:
        return (self.frame_weights(features_BSF)[..., None] * scores_BSK).sum(dim=1)

    def frame_weights(self, features_BSF: Float[Tensor, "B S F"]) -> Float[Tensor, "B S"]:
        """What each frame counts for; a clip's sum to 1."""
        return (features_BSF @ self.weight).softmax(-1)


def create_consensus(name: str, num_features: int) -> nn.Module:
    """Raises ConfigError for an unknown name."""
    if name not in get_args(Consensus):
        raise ConfigError(f"consensus must be one of {', '.join(get_args(Consensus))}; got {name!r}.")
    return AverageConsensus() if name == "avg" else AttentionConsensus(num_features)
