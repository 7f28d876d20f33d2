"""`explain`: what a model sees in one video."""

from __future__ import annotations

import difflib
import sys
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from m2a.data.readers import open_clip
from m2a.data.shards import check_video
from m2a.errors import ConfigError
from m2a.evaluation.predict import Guess, likeliest
from m2a.evaluation.scores import checked
from m2a.explanation.evidence import SiteEvidence, evidence, observed, summary
from m2a.explanation.gradcam import grad_cam, on_frames
from m2a.explanation.stages import choose_stage
from m2a.models import VideoClassifier
from m2a.models.device import kind_of_input
from m2a.models.groups import classifier_in
from m2a.models.modes import evaluating

_TOP = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class Explanation:
    """Where in a video a model finds what speaks for a class. T frames of H x W pixels, those the model saw."""

    path: Path
    label: str
    """The class that is explained."""
    guesses: tuple[Guess, ...]
    """The likeliest labels, best first, five at most."""
    layer: str
    """The module of the backbone whose maps were weighed."""
    indices: tuple[int, ...]
    """Numbers of the frames in the video, from 0."""
    frames: NDArray[np.uint8]
    """(T, H, W, 3): resized and cropped, before normalisation."""
    heat: NDArray[np.float32]
    """(T, H, W) in 0 to 1: Grad-CAM, one scale for all frames of the clip. All zeros where nothing speaks for the
    class."""
    sites: tuple[SiteEvidence, ...] = ()
    """What the mechanisms make of the clip, where it was asked for."""

    @property
    def still(self) -> bool:
        """Whether there are several frames and all are the same picture, so that nothing moves in them."""
        return len(self.frames) > 1 and bool((self.frames == self.frames[:1]).all())

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON. Frames are left out; of maps there are each frame's mean and largest value, and where
        that is; attention matrices are whole."""
        return {
            "path": str(self.path),
            "label": self.label,
            "top": [asdict(guess) for guess in self.guesses],
            "layer": self.layer,
            "frames": list(self.indices),
            "still": self.still,
            "heat": summary(self.heat),
            "sites": [site.to_dict() for site in self.sites],
        }


def explain(
    model: VideoClassifier,
    video: str | Path,
    *,
    label: str | None = None,
    layer: str | None = None,
    sites: bool = False,
) -> Explanation:
    """Grad-CAM of a video, frame by frame, and what the model's mechanisms make of it.

    The model is run in evaluation mode, in its own precision, and left as it was: training flags, hooks, gradients and
    `requires_grad` of its parameters. Frozen parameters and callers under `torch.no_grad`, `torch.inference_mode` or
    `torch.autocast` are fine.

    Args:
        model: with labels.
        video: a video file, a folder of JPEG frames, or one of them in a shard, as `read_clips` names it; it is sampled
            and cropped by the model's own preprocessing.
        label: the class to explain; the likeliest by default.
        layer: the module of the backbone whose maps are weighed; by default where the paper looks, the end of the
            second stage (see `choose_stage`).
        sites: look into the mechanisms too.

    Raises:
        NotFoundError: nothing is at `video`.
        UnreadableClipError: it cannot be decoded.
        ConfigError: it is no VideoClassifier, the model has no labels or not that one, there is no such layer or it
            gives no maps, the score does not depend on it, or the weights were made under `torch.inference_mode`.
        DivergedError: scores are nan or infinite.
    """
    _check(model, label)
    indices, pixels = _read(model, Path(video))
    exact = torch.autocast(kind_of_input(model)[0].type, enabled=False)
    with torch.inference_mode(False), torch.enable_grad(), exact, evaluating(model), ExitStack() as stack:
        stack.enter_context(_as_written())
        stage = choose_stage(model.backbone, layer, num_frames=model.num_frames)
        seen = stack.enter_context(observed(model.backbone)) if sites else []
        scores: list[Tensor] = []
        kept: list[tuple[str, torch.nn.Module, Tensor]] = []
        chosen = None if label is None else _index(model, label)

        def score(clips: Tensor) -> Tensor:
            scores.append(model(clips))
            kept[:] = kept or seen  # here: gradient checkpointing passes the mechanisms again for the gradient
            return scores[0][:, scores[0].argmax() if chosen is None else chosen]

        heat = grad_cam(model.backbone.get_submodule(stage.name), stage, score, _normalized(model, pixels))
        found = evidence(kept)
    assert model.labels is not None  # _check has looked
    said = checked(scores[0].detach().float().softmax(-1).cpu(), [str(video)], model)
    guesses = likeliest(said[0], model.labels, _TOP)
    return Explanation(
        path=Path(video),
        label=guesses[0].label if label is None else label,
        guesses=guesses,
        layer=stage.name,
        indices=tuple(indices),
        frames=np.ascontiguousarray(pixels.permute(0, 2, 3, 1).numpy()),
        heat=on_frames(heat, len(indices), (pixels.shape[-2], pixels.shape[-1])),
        sites=found,
    )


def _as_written() -> AbstractContextManager[object]:
    """Runs networks as they are written where some were compiled: code that was compiled before calls no hooks."""
    compiled = "torch._dynamo" in sys.modules  # which takes a second to import
    return torch.compiler.set_stance("force_eager") if compiled else nullcontext()


def _check(model: VideoClassifier, label: str | None) -> None:
    classifier_in(model, "explain")
    if model.labels is None:
        raise ConfigError("This model has no labels, so its outputs have no names. Create it with labels=.")
    if label is not None:
        _index(model, label)
    if any(parameter.is_inference() for parameter in model.parameters()):
        raise ConfigError(
            "The weights of this model were made under torch.inference_mode, so no gradient can go through it. Load or "
            "create the model outside of it; explain itself may be called there."
        )


def _index(model: VideoClassifier, label: str) -> int:
    labels = list(model.labels or ())
    if label not in labels:
        near = difflib.get_close_matches(label, labels, n=3, cutoff=0.4) or labels[:3]
        raise ConfigError(
            f"The model has no label {label!r}. Near it: {', '.join(map(repr, near))}; it has {len(labels)} labels."
        )
    return labels.index(label)


def _read(model: VideoClassifier, path: Path) -> tuple[list[int], Tensor]:
    """Numbers of the frames that the model sees of a video, and the frames, uint8 (T, 3, S, S)."""
    check_video(path)
    with open_clip(path, short_side=model.preprocessing.smallest_side) as clip:
        indices = model.preprocessing.sample_test(clip.num_frames)
        frames = clip.read(indices)
    return indices, model.preprocessing.test_transform(frames)


def _normalized(model: VideoClassifier, pixels: Tensor) -> Tensor:
    device, dtype = kind_of_input(model)
    return model.preprocessing.normalize(pixels[None].to(device)).to(dtype)
