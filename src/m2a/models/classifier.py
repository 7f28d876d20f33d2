"""A video classifier made of an image backbone: each frame by itself but for the mechanism inside, then the average.

Shapes: B clips, T frames, N = B * T folded frames, K classes; S frames that are left, T unless time is strided.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import ModelHubMixin
from jaxtyping import Float
from torch import Tensor, nn

from m2a.data.preprocessing import Preprocessing
from m2a.errors import ClipShapeError, ConfigError
from m2a.insertion import InsertionReport, get_num_frames, set_num_frames
from m2a.models import saving
from m2a.models.config import ModelConfig
from m2a.models.inflation import is_inflated

_HUB_TAGS = ["m2a", "video-classification", "action-recognition"]


_MODEL_CARD = """---
{{ card_data }}
---

A video classifier made of an image backbone and a temporal mechanism; `config.json` says which, with its labels and
preprocessing.

```python
import m2a

model = m2a.load("OWNER/NAME")  # this repository, or the folder it was downloaded to
```

On the command line: `m2a predict VIDEO --model OWNER/NAME`. The mechanism M2A is from
[M2A: Motion Aware Attention for Accurate Video Action Recognition](https://arxiv.org/abs/2111.09976).
"""


class VideoClassifier(
    nn.Module,
    ModelHubMixin,
    library_name="m2a",
    tags=_HUB_TAGS,
    pipeline_tag="video-classification",
    model_card_template=_MODEL_CARD,
):
    """`(B, T, 3, H, W) -> (B, K)`: backbone on every frame, dropout, a linear layer, mean over frames (TSN's average
    consensus).

    Args:
        backbone: a timm model, usually one that `m2a.insert` has been at, or one that `m2a.inflate` made 3D; its own
            classifier is taken off.
        num_classes: K.
        num_frames: T. Defaults to what `m2a.insert` was told, else 8. Clips of another length are refused until it is
            set: `model.num_frames = 16`.
        dropout: in front of the linear layer.
        labels: names of the classes, in the order of the outputs.
        preprocessing: how clips are sampled, cropped and normalised; defaults to the backbone's own constants.
        config: how to build this model again; without it the model cannot be saved by `save_pretrained`.

    Raises:
        ConfigError: labels and num_classes disagree, or the backbone cannot give up its classifier.
    """

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        *,
        num_frames: int | None = None,
        dropout: float = 0.5,
        labels: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        config: ModelConfig | None = None,
    ):
        super().__init__()
        if num_classes < 1:
            raise ConfigError(f"num_classes must be at least 1; got {num_classes}.")
        if labels is not None and len(labels) != num_classes:
            raise ConfigError(f"{len(labels)} labels were given for {num_classes} classes; they must be as many.")
        self.config = config
        self.insertion: InsertionReport | None = None  # what `create_model` inserted
        self.labels = tuple(labels) if labels is not None else None
        self.backbone = _without_classifier(backbone)
        num_frames = num_frames or get_num_frames(backbone) or 8
        self.preprocessing = preprocessing or default_preprocessing(backbone, num_frames=num_frames)
        self.num_frames = num_frames
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.backbone.num_features, num_classes)
        nn.init.normal_(self.head.weight, std=0.001)  # as TSN and its family start
        nn.init.zeros_(self.head.bias)

    @property
    def num_frames(self) -> int:
        """T. Setting it changes the clip length at every site and in the sampling."""
        return self._num_frames

    @num_frames.setter
    def num_frames(self, value: int) -> None:
        if get_num_frames(self.backbone) is not None:
            set_num_frames(self.backbone, value)
        self.preprocessing = replace(self.preprocessing, num_frames=value)
        self._num_frames = value

    @property
    def num_classes(self) -> int:
        return self.head.out_features

    def forward(self, clips_BTCHW: Float[Tensor, "B T 3 H W"]) -> Float[Tensor, "B K"]:
        """Scores (before softmax) of normalised clips. Raises ClipShapeError for another rank or length."""
        return self.frame_scores(clips_BTCHW).mean(dim=1)

    def frame_scores(self, clips_BTCHW: Float[Tensor, "B T 3 H W"]) -> Float[Tensor, "B S K"]:
        """Scores of every frame, before the average; of an inflated backbone, of the S frames that its temporal strides
        leave."""
        self._check(clips_BTCHW)
        if is_inflated(self.backbone):
            return self.head(self.dropout(self.backbone.frame_features(clips_BTCHW.transpose(1, 2))))
        features_NF = self.backbone(clips_BTCHW.flatten(0, 1))
        return self.head(self.dropout(features_NF)).unflatten(0, clips_BTCHW.shape[:2])

    def _check(self, clips_BTCHW: Tensor) -> None:
        if clips_BTCHW.ndim != 5:
            raise ClipShapeError(f"Clips are (B, T, 3, H, W); got {tuple(clips_BTCHW.shape)}.")
        if clips_BTCHW.shape[1] != self._num_frames:
            raise ClipShapeError(
                f"This model takes clips of {self._num_frames} frames, (B, {self._num_frames}, 3, H, W); got "
                f"{tuple(clips_BTCHW.shape)}. For another length set model.num_frames = {clips_BTCHW.shape[1]}; if the "
                "axes are (B, 3, T, H, W), call .transpose(1, 2)."
            )

    @torch.no_grad()
    def predict_probabilities(self, clips_uint8_BTCHW: Tensor) -> Float[Tensor, "B K"]:
        """Probabilities of decoded clips, uint8 (B, T, 3, H, W), cropped by `preprocessing` but not normalised."""
        weight = self.head.weight
        clips = self.preprocessing.normalize(clips_uint8_BTCHW.to(weight.device))
        return self(clips.to(weight.dtype)).float().softmax(-1)

    def _save_pretrained(self, save_directory: Path) -> None:
        saving.save(self, save_directory)

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> VideoClassifier:
        return saving.load(model_id, cls, **options)


def default_preprocessing(backbone: nn.Module, *, num_frames: int, size: int | None = None) -> Preprocessing:
    """The backbone's own normalisation constants and input size (timm's `pretrained_cfg`), ImageNet's where it has
    none."""
    cfg = getattr(backbone, "pretrained_cfg", None) or {}
    return Preprocessing(
        num_frames=num_frames,
        size=size or cfg.get("input_size", (3, 224, 224))[-1],
        mean=tuple(cfg.get("mean", (0.485, 0.456, 0.406))),
        std=tuple(cfg.get("std", (0.229, 0.224, 0.225))),
    )


def _without_classifier(backbone: nn.Module) -> Any:
    if not hasattr(backbone, "reset_classifier") or not hasattr(backbone, "num_features"):
        raise ConfigError(
            f"VideoClassifier needs a timm model (reset_classifier, num_features); got a {type(backbone).__name__}. "
            "Wrap yours in a module that has both: num_features, and reset_classifier(0) that makes forward return "
            "(N, num_features)."
        )
    state = torch.random.get_rng_state()  # timm draws a new classifier; we want none, nor its draws
    network: Any = backbone
    network.reset_classifier(0)
    torch.random.set_rng_state(state)
    return network
