"""`create_model`: a timm backbone with motion, in one call."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
from torch import nn

from m2a.errors import ConfigError, WeightsUnavailableError
from m2a.insertion import insert
from m2a.insertion.sites import Position
from m2a.models.classifier import VideoClassifier, default_preprocessing
from m2a.models.config import ModelConfig
from m2a.models.inflation import inflate as inflate_network
from m2a.models.weights import load_image_weights


def create_model(
    backbone: str,
    *,
    mechanism: str = "m2a",
    num_classes: int,
    num_frames: int = 8,
    pretrained: bool | str | Path = False,
    labels: Sequence[str] | None = None,
    size: int | None = None,
    dropout: float = 0.5,
    reduction: int = 8,
    position: Position = "before",
    where: str | Sequence[str] | None = None,
    inflate: bool = False,
    backbone_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> VideoClassifier:
    """A video classifier `(B, T, 3, H, W) -> (B, num_classes)` from an image backbone and a mechanism.

    Args:
        backbone: a timm model name, such as "resnet18" or "mobilenetv2_100".
        mechanism: a spec (`m2a.list_mechanisms()`); "none" is the frame-averaging baseline.
        num_classes: K.
        num_frames: T.
        pretrained: True for timm's ImageNet weights (downloaded by timm), or the path of an image checkpoint
            (.safetensors, .pth) of the same backbone.
        labels: names of the classes, in the order of the outputs.
        size: height and width in pixels the clips are cropped to; the backbone's own by default.
        dropout, reduction, position, where, options: see `VideoClassifier` and `m2a.insert`.
        inflate: make the backbone, a ResNet, a 3D network before the mechanism goes in, image weights included; see
            `m2a.inflate`.
        backbone_options: keyword arguments for `timm.create_model`.

    Raises:
        ConfigError: timm has no such model, or no weights for it, or it cannot be inflated.
        WeightsUnavailableError: the weights could not be downloaded.
        CheckpointError, NotFoundError: the checkpoint does not fit, or is not there.
        SpecError, NoSitesError: see `m2a.insert`.
    """
    config = ModelConfig(
        backbone=backbone,
        num_classes=num_classes,
        mechanism=mechanism,
        num_frames=num_frames,
        reduction=reduction,
        position=position,
        where=where if where is None or isinstance(where, str) else tuple(where),
        dropout=dropout,
        mechanism_options=options,
        backbone_options=dict(backbone_options or {}),
        inflate=inflate,
    )
    network = _create_backbone(backbone, pretrained is True, config.backbone_options)
    if pretrained and pretrained is not True:
        load_image_weights(network, pretrained)
    preprocessing = default_preprocessing(network, num_frames=num_frames, size=size)
    return build(config, network, labels=labels, preprocessing=preprocessing)


def build(config: ModelConfig, network: nn.Module | None = None, **extras: Any) -> VideoClassifier:
    """The model a config describes, around `network` or a backbone without weights. `extras` go to VideoClassifier."""
    if network is None:
        network = _create_backbone(config.backbone, False, config.backbone_options)
    if config.inflate:
        inflate_network(network)
    report = insert(
        network,
        config.mechanism,
        num_frames=config.num_frames,
        where=config.where,
        position=config.position,
        reduction=config.reduction,
        **config.mechanism_options,
    )
    model = VideoClassifier(
        network, config.num_classes, num_frames=config.num_frames, dropout=config.dropout, config=config, **extras
    )
    model.insertion = report
    return model


def _create_backbone(name: str, pretrained: bool, options: Mapping[str, Any]) -> nn.Module:
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        hint = f" Near it: {', '.join(near)}." if near else ""
        raise ConfigError(f"timm has no model called {name!r}.{hint} timm.list_models() has them all.")
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except TypeError as error:
        if not options:
            raise
        raise ConfigError(f"timm's {name!r} cannot be built with {dict(options)}: {error}") from error
    except RuntimeError as error:
        if not pretrained:
            raise
        raise ConfigError(f"timm cannot give weights for {name!r}: {error}") from error
    except OSError as error:
        raise WeightsUnavailableError(
            f"The weights of {name!r} are not in the local cache and could not be downloaded ({type(error).__name__}). "
            "Without a connection: pass the path of an image checkpoint as pretrained= (.safetensors or .pth), or "
            "train from scratch with pretrained=False."
        ) from error
