"""A video classifier made of an image backbone: each frame by itself but for the mechanism inside, then the average.

Shapes: B clips, T frames, N = B * T folded frames, K classes; S frames that are left, T unless time is strided.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import ModelHubMixin
from huggingface_hub.constants import CONFIG_NAME
from jaxtyping import Float
from torch import Tensor, nn

from m2a.data.preprocessing import Preprocessing
from m2a.errors import ClipShapeError, ConfigError
from m2a.insertion import InsertionReport, set_num_frames
from m2a.insertion.fold import FrameCount
from m2a.insertion.insert import lost_sites, site_frames
from m2a.insertion.trace import image_channels
from m2a.models import adapters, saving
from m2a.models.backbones import fixed_size
from m2a.models.config import ModelConfig, check_whole
from m2a.models.consensus import Consensus, create_consensus
from m2a.models.device import kind_of_input
from m2a.models.frame_features import pooled, without_classifier
from m2a.models.inflation import gives_frames, is_inflated
from m2a.models.modes import evaluating

_HUB_TAGS = ["m2a", "video-classification", "action-recognition"]
_while_compiling: Callable[[Callable[[Any], None]], Callable[[Any], None]] = torch.compiler.assume_constant_result
"""For a check that is made when a program is compiled, and not by the program, which watches what was looked at."""


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
    """`(B, T, 3, H, W) -> (B, K)`: backbone on every frame, dropout, a linear layer, consensus over frames (TSN).

    Args:
        backbone: any network that takes images (N, 3, H, W), or 3D clips (B, 3, T, H, W), and gives features or class
            scores; usually one that `m2a.insert` has been at. Images may have other channels than 3. Its classifier is
            taken off, in place: by timm's `reset_classifier(0)`, or, when the network ends in a linear layer, that
            layer is replaced by an identity. Of maps and tokens of features the mean is taken, of a tuple or a dict of
            outputs the first.
        num_classes: K.
        num_frames: T. Defaults to what `m2a.insert` was told, else 8. Clips of another length are refused until it is
            set: `model.num_frames = 16`.
        dropout: in front of the linear layer.
        consensus: "avg", the mean of the frames' scores, or "attention", a mean with learned weights.
        freeze_backbone: train mechanisms, consensus and linear layer alone: the backbone's weights get no gradient, and
            its batch norms and dropout stay as in evaluation, whatever `train()` says.
        labels: names of the classes, in the order of the outputs.
        preprocessing: how clips are sampled, cropped and normalised; defaults to the backbone's own constants.
        config: how to build this model again; without it the model cannot be saved by `save_pretrained`.

    Raises:
        ConfigError: num_classes or num_frames is less than 1, labels and num_classes disagree, a label is there twice,
            dropout is not in 0 to 1, the consensus is unknown, or the backbone gives no row of features for each image.
    """

    _inflated = False  # of models that were pickled before it was noted

    def __init__(
        self,
        backbone: nn.Module,
        num_classes: int,
        *,
        num_frames: int | None = None,
        dropout: float = 0.5,
        consensus: Consensus = "avg",
        freeze_backbone: bool = False,
        labels: Sequence[str] | None = None,
        preprocessing: Preprocessing | None = None,
        config: ModelConfig | None = None,
    ):
        super().__init__()
        check_whole("num_classes", num_classes)
        check_whole("num_frames", num_frames)
        if num_classes < 1:
            raise ConfigError(f"num_classes must be at least 1; got {num_classes}.")
        if num_frames is not None and num_frames < 1:
            raise ConfigError(f"num_frames must be at least 1; got {num_frames}. Leave it out for the backbone's own.")
        if not 0 <= dropout <= 1:
            raise ConfigError(f"dropout must lie in 0 to 1; got {dropout}.")
        names = None if labels is None else _names(labels)
        if names is not None and len(names) != num_classes:
            raise ConfigError(f"{len(names)} labels were given for {num_classes} classes; they must be as many.")
        self.config = config
        self.insertion: InsertionReport | None = None  # what `create_model` inserted
        self.as_built: object = None  # what it was when `create_model` had made it; see `m2a.models.saving`
        self.labels = names
        output = without_classifier(backbone)
        self.backbone: Any = backbone
        self._inflated = is_inflated(backbone)  # a wrapper that is put around it later does not say so
        self._takes_clips = output.takes_clips
        self._channels_last = output.channels_last
        sites = site_frames(backbone)
        self._frames = sites[0] if sites else FrameCount(8)  # who changes the sites' changes the model's
        num_frames = self._frames.value if num_frames is None else num_frames
        self._preprocessing: Preprocessing = preprocessing or default_preprocessing(backbone, num_frames=num_frames)
        self.num_frames = num_frames
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(output.num_features, num_classes)
        nn.init.normal_(self.head.weight, std=0.001)  # as TSN and its family start
        nn.init.zeros_(self.head.bias)
        self.consensus = create_consensus(consensus, output.num_features)
        self.backbone_frozen = freeze_backbone
        if freeze_backbone:
            adapters.freeze(self)

    @property
    def num_frames(self) -> int:
        """T. Setting it changes the clip length at every site and in the sampling."""
        return self._frames.value

    @num_frames.setter
    def num_frames(self, value: int) -> None:
        given: object = value
        if not isinstance(given, Integral) or value < 1:
            raise ConfigError(f"num_frames must be a whole number, at least 1; got {value!r}.")
        if site_frames(self.backbone):
            set_num_frames(self.backbone, value)
        self._preprocessing = replace(self._preprocessing, num_frames=value)
        self._frames.value = value

    @property
    def labels(self) -> tuple[str, ...] | None:
        """Names of the classes, in the order of the outputs. Raises ConfigError, when it is set, for what are no names,
        and one that is there twice."""
        found: tuple[str, ...] | None = vars(self).get("_labels", vars(self).get("labels"))  # the latter of old pickles
        return found

    @labels.setter
    def labels(self, value: Sequence[str] | None) -> None:
        self._labels = None if value is None else _names(value)

    @property
    def takes_clips(self) -> bool:
        """Whether the backbone takes clips, (B, 3, T, H, W), as 3D networks do, and not images."""
        return self._takes_clips or self._inflated

    @property
    def preprocessing(self) -> Preprocessing:
        """How clips are sampled, cropped and normalised: always clips of `num_frames` frames."""
        return replace(self._preprocessing, num_frames=self.num_frames)

    @preprocessing.setter
    def preprocessing(self, value: Preprocessing) -> None:
        self._preprocessing = value

    @property
    def num_classes(self) -> int:
        """K, which the linear layer has. Of another `head` without `out_features` it is the number of labels; raises
        ConfigError where there are none."""
        found = getattr(self.head, "out_features", None)
        if isinstance(found, int):
            return found
        if self.labels is None:
            raise ConfigError(
                f"model.head is a {type(self.head).__name__}, which does not say how many scores it gives. Set "
                "model.labels to the names of the classes, or model.head.out_features to their number."
            )
        return len(self.labels)

    def forward(self, clips_BTCHW: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B K"]:
        """Scores (before softmax) of normalised clips. Raises ClipShapeError for another rank or length."""
        features_BSF = self.frame_features(clips_BTCHW)
        return self.consensus(self.head(self.dropout(features_BSF)), features_BSF)

    if TYPE_CHECKING:  # torch's own gives Any

        def __call__(self, clips_BTCHW: Tensor) -> Tensor: ...

    def frame_scores(self, clips_BTCHW: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B S K"]:
        """Scores of every frame, before the consensus; of an inflated backbone, of the S frames that its temporal
        strides leave, and of another 3D network, of the whole clip (S = 1)."""
        return self.head(self.dropout(self.frame_features(clips_BTCHW)))

    def frame_features(self, clips_BTCHW: Float[Tensor, "B T C H W"]) -> Float[Tensor, "B S F"]:
        """The backbone's features of every frame, of the same S frames as `frame_scores`."""
        self._check(clips_BTCHW)
        if self._inflated or is_inflated(self.backbone):
            self._check_frames()
            return self.backbone(clips_BTCHW.transpose(1, 2), frames=True)
        if self._takes_clips:
            clips_BCTHW = clips_BTCHW.transpose(1, 2)
            return self._pooled(self.backbone(clips_BCTHW), clips_BCTHW.shape[0]).unsqueeze(1)
        frames_NCHW = clips_BTCHW.flatten(0, 1)  # its shape, not its len: that would fix the batch of an exported model
        return self._pooled(self.backbone(frames_NCHW), frames_NCHW.shape[0]).unflatten(0, clips_BTCHW.shape[:2])

    def _pooled(self, output: Any, num_images: int) -> Tensor:
        return pooled(output, num_images, channels_last=self._channels_last)

    def train(self, mode: bool = True) -> VideoClassifier:
        """As torch's; a frozen backbone stays in evaluation mode, but for the mechanisms inside."""
        super().train(mode)
        if self.backbone_frozen:
            adapters.keep_still(self, mode)
        return self

    def _check(self, clips_BTCHW: Tensor) -> None:
        if clips_BTCHW.ndim != 5:
            raise ClipShapeError(f"Clips are (B, T, 3, H, W); got {tuple(clips_BTCHW.shape)}.")
        if clips_BTCHW.shape[1] != self.num_frames:
            raise ClipShapeError(
                f"This model takes clips of {self.num_frames} frames, (B, {self.num_frames}, 3, H, W); got "
                f"{tuple(clips_BTCHW.shape)}. For another length set model.num_frames = {clips_BTCHW.shape[1]}; if the "
                "axes are (B, 3, T, H, W), call .transpose(1, 2)."
            )
        self._check_sites()

    @_while_compiling
    def _check_sites(self) -> None:
        """Raises ConfigError where a site has lost its mechanism, or was inserted for another number of frames, and
        would cut clips or mix them."""
        check_none_lost(self.backbone)
        if self._takes_clips:  # there a mechanism reads T off its features
            return
        if others := {count.value for count in site_frames(self.backbone)} - {self.num_frames}:
            raise ConfigError(
                f"This model takes clips of {self.num_frames} frames, but mechanisms in its backbone were inserted for "
                f"{sorted(others)[0]}, and would cut or mix clips. Set model.num_frames = {self.num_frames} (or the "
                "number that you want), which sets it at every site."
            )

    @_while_compiling
    def _check_frames(self) -> None:
        """Raises ConfigError where the features of frames of an inflated backbone cannot be had any more."""
        if not gives_frames(self.backbone):
            raise ConfigError(
                "This model was made around an inflated ResNet, and takes the features of every frame. Its backbone is "
                f"a {type(self.backbone).__name__} now, which does not give them. Wrap or compile the whole model "
                "instead (model.compile()); around another network make a VideoClassifier of its own."
            )

    @torch.no_grad()
    def predict_probabilities(self, clips_uint8_BTCHW: Tensor) -> Float[Tensor, "B K"]:
        """Probabilities of decoded clips, uint8 (B, T, 3, H, W), cropped by `preprocessing` but not normalised. The
        model is in evaluation mode meanwhile.

        Raises ClipShapeError for another type: nothing says whether the white of floating point is 1 or 255.
        """
        if clips_uint8_BTCHW.dtype != torch.uint8:
            raise ClipShapeError(
                f"predict_probabilities takes pixels as uint8, 0 to 255; got {clips_uint8_BTCHW.dtype}. Convert them "
                "with .to(torch.uint8), multiplied by 255 first where 1 is white; or call the model itself with "
                "normalised clips."
            )
        device, dtype = kind_of_input(self)
        clips = self.preprocessing.normalize(clips_uint8_BTCHW.to(device))
        with evaluating(self):
            return self(clips.to(dtype)).float().softmax(-1)

    def save_adapter(self, folder: str | Path) -> None:
        """Writes what was trained beside a frozen backbone, mechanisms, consensus and linear layer, to
        `adapter.safetensors` and `config.json`. `m2a.load(folder)` puts it onto the same image weights again.

        Raises ConfigError when the backbone is not frozen: the adapter alone would not give this model back.
        """
        adapters.save(self, Path(folder))

    def save_pretrained(self, save_directory: str | Path, **options: Any) -> str | None:
        """Writes `model.safetensors`, `config.json` and a stub of a model card, which `m2a.load(folder)` reads.

        Args:
            save_directory: the folder. An earlier model there is replaced, and stays where this one is refused.
            options: of huggingface_hub's `ModelHubMixin.save_pretrained`, such as `push_to_hub=True`.

        Raises ConfigError for a model that `m2a.create_model` did not make and could not make.
        """
        saving.check_savable(self)
        with saving.kept_on_error(Path(save_directory) / CONFIG_NAME):  # the mixin deletes it before it saves
            return super().save_pretrained(save_directory, **options)

    def _save_pretrained(self, save_directory: Path) -> None:
        saving.save(self, save_directory)

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, **options: Any) -> VideoClassifier:
        """As `m2a.load`, with huggingface_hub's options besides (`revision`, `token`, ...). What a model is comes from
        its `config.json`.

        Raises ConfigError for options that there are not, and of a subclass, which nothing here builds; and what
        `m2a.load` raises.
        """
        if cls is not VideoClassifier:
            raise ConfigError(
                f"from_pretrained gives a VideoClassifier, not a {cls.__name__}. Load with "
                f"VideoClassifier.from_pretrained, and put the model that comes into a module of yours."
            )
        saving.check_options(options)
        return saving.load(str(pretrained_model_name_or_path), **options)  # the mixin reads config.json with no check

    @classmethod
    def _from_pretrained(cls, *, model_id: str, **options: Any) -> VideoClassifier:
        return saving.load(model_id, **options)


def _names(labels: Sequence[str]) -> tuple[str, ...]:
    """Labels as text. Raises ConfigError for what is none, which would be another class once the model is loaded."""
    if isinstance(labels, str):
        raise ConfigError(f"labels must be a list of names, one for each class; got the text {labels!r}.")
    if not isinstance(labels, Iterable):
        raise ConfigError(f"labels must be a list of names, one for each class; got {labels!r}.")
    if isinstance(labels, Mapping | Set):
        raise ConfigError(
            f"labels must be a list of names, in the order of the outputs; got a {type(labels).__name__}. Of a dict "
            "name -> id give sorted(d, key=d.get), of a dict id -> name [d[id] for id in sorted(d)]."
        )
    if other := [label for label in labels if not isinstance(label, str)]:
        raise ConfigError(
            f"labels must be names; got {other[0]!r}, of type {type(other[0]).__name__}. Give them as text: "
            "[str(label) for label in labels]."
        )
    if twice := [label for label, times in Counter(labels).items() if times > 1]:
        raise ConfigError(f"labels has {twice[0]!r} more than once; each class needs a name of its own.")
    return tuple(str(label) for label in labels)  # numpy has text of its own


def check_none_lost(backbone: nn.Module) -> None:
    """Raises ConfigError where layers were replaced since `insert` put mechanisms there."""
    if lost := lost_sites(backbone):
        raise ConfigError(
            f"{len(lost)} sites ({lost[0]!r}, ...) are without their mechanisms: the layers there were replaced after "
            "m2a.insert, by fusing, reparameterising or converting the network (SyncBatchNorm), say. Do that before "
            "m2a.insert. To go on without any mechanism: m2a.remove(model.backbone)."
        )


def default_preprocessing(backbone: nn.Module, *, num_frames: int, size: int | None = None) -> Preprocessing:
    """The backbone's own normalisation constants and input size (timm's `pretrained_cfg`), ImageNet's where it has
    none. Where its images have other channels than those are of, each has their means."""
    cfg = getattr(backbone, "pretrained_cfg", None) or {}
    channels = image_channels(backbone)
    native = fixed_size(backbone) or cfg.get("input_size", (3, 224, 224))
    return Preprocessing(
        num_frames=num_frames,
        size=size or native[-1],
        mean=_for_each(channels, cfg.get("mean", (0.485, 0.456, 0.406))),
        std=_for_each(channels, cfg.get("std", (0.229, 0.224, 0.225))),
    )


def _for_each(channels: int, constants: Sequence[float]) -> tuple[float, ...]:
    return tuple(constants) if len(constants) == channels else (sum(constants) / len(constants),) * channels
