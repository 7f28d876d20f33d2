"""`create_model`: a backbone with motion, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from torch import nn

from m2a.errors import ConfigError
from m2a.insertion import insert
from m2a.insertion.sites import Position
from m2a.mechanisms import parse_spec
from m2a.mechanisms.identity import Init
from m2a.models.backbones import create_backbone
from m2a.models.classifier import VideoClassifier, default_preprocessing
from m2a.models.config import ModelConfig, check_whole
from m2a.models.consensus import Consensus
from m2a.models.inflation import inflate as inflate_network
from m2a.models.restoring import as_it_was_on_error
from m2a.models.saving import outline_of
from m2a.models.starting import SavedModel, at_its_sites, names_model, start_from, with_normalisation
from m2a.models.weights import load_image_weights


def create_model(
    backbone: str | nn.Module,
    *,
    mechanism: str = "m2a",
    num_classes: int,
    num_frames: int = 8,
    pretrained: bool | str | Path = False,
    labels: Sequence[str] | None = None,
    size: int | None = None,
    dropout: float = 0.5,
    consensus: Consensus = "avg",
    freeze_backbone: bool = False,
    init: Init = "paper",
    reduction: int = 8,
    position: Position = "before",
    where: str | Sequence[str] | None = None,
    inflate: bool = False,
    backbone_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> VideoClassifier:
    """A video classifier `(B, T, 3, H, W) -> (B, num_classes)` from an image backbone and a mechanism.

    Args:
        backbone: a timm model ("resnet18", "convnext_tiny", "vit_small_patch16_224"), one of torchvision
            ("torchvision/resnet18"), or a network of your own, which is changed in place (on an error it is as it
            was).
        mechanism: a spec (`m2a.list_mechanisms()`); "none" is the frame-averaging baseline.
        num_classes: K.
        num_frames: T.
        pretrained: True for timm's or torchvision's own weights (downloaded on first use), the path of an image
            checkpoint (.safetensors, .pth) of the same backbone, or a model that this library saved, a folder or
            owner/name on the hub, with the same backbone and mechanism, whose weights and normalisation are taken over:
            all of them where the `labels` are the same, else all but the last layer.
        labels: names of the classes, in the order of the outputs.
        size: height and width in pixels the clips are cropped to; the backbone's own by default. Networks that are
            built for one size are built for this one.
        dropout, consensus, freeze_backbone: see `VideoClassifier`.
        init, reduction, position, where, options: see `m2a.insert`.
        inflate: make the backbone, a ResNet, a 3D network before the mechanism goes in, image weights included; see
            `m2a.inflate`.
        backbone_options: keyword arguments for `timm.create_model` or torchvision's builder.

    Raises:
        ConfigError: a value is of the wrong type, or there is no such model, or no weights for it, or it cannot be
            inflated.
        WeightsUnavailableError: the weights could not be downloaded.
        CheckpointError, NotFoundError: the checkpoint or the saved model does not fit, or is not there.
        SpecError, NoSitesError, WrappedModelError: see `m2a.insert`.
    """
    parse_spec(mechanism)
    check_whole("size", size)
    if size is not None and size < 1:
        raise ConfigError(f"size must be at least 1 pixel; got {size}. Leave it out for the backbone's own.")
    own = backbone if isinstance(backbone, nn.Module) else None
    if own is not None and (pretrained is True or backbone_options):
        raise ConfigError(
            f"The backbone is a {type(own).__name__} of your own, built already: backbone_options and pretrained=True "
            "are for backbones by name. Put its weights in before, or give the path of a checkpoint as pretrained=."
        )
    config = ModelConfig(
        backbone=_name_of(backbone),
        own_backbone=own is not None,
        num_classes=num_classes,
        mechanism=mechanism,
        num_frames=num_frames,
        reduction=reduction,
        position=position,
        where=tuple(where) if isinstance(where, Iterable) and not isinstance(where, str) else where,
        dropout=dropout,
        mechanism_options=options,
        backbone_options={} if backbone_options is None else backbone_options,
        inflate=inflate,
        init=init,
        consensus=consensus,
        freeze_backbone=freeze_backbone,
        pretrained=str(pretrained) if isinstance(pretrained, str | Path) else pretrained,
    )
    config.check_types()
    return build(config, own, pretrained=pretrained, size=size, labels=labels)


def _name_of(backbone: str | nn.Module) -> str:
    return f"{type(backbone).__module__}.{type(backbone).__qualname__}" if isinstance(backbone, nn.Module) else backbone


def build(
    config: ModelConfig,
    network: nn.Module | None = None,
    *,
    pretrained: bool | str | Path = False,
    size: int | None = None,
    **extras: Any,
) -> VideoClassifier:
    """The model a config describes, around `network`, which stays as it is where there is an error, or a backbone by
    its name. `extras` go to VideoClassifier."""
    if names_model(pretrained):
        source = SavedModel.read(pretrained)
        with nullcontext() if network is None else as_it_was_on_error(network, values=False):
            model = build(at_its_sites(config, source), network, size=size, **extras)
            start_from(model, source)
        if "preprocessing" not in extras:
            model.preprocessing = with_normalisation(model.preprocessing, source.preprocessing)
        return model
    if network is None:
        network = create_backbone(config.backbone, pretrained=pretrained, size=size, options=config.backbone_options)
        return _around(network, config, size, extras)
    with as_it_was_on_error(network, values=bool(pretrained)):
        if pretrained:
            load_image_weights(network, str(pretrained))
        return _around(network, config, size, extras)


def _around(network: nn.Module, config: ModelConfig, size: int | None, extras: dict[str, Any]) -> VideoClassifier:
    extras.setdefault("preprocessing", default_preprocessing(network, num_frames=config.num_frames, size=size))
    if config.inflate:
        inflate_network(network)
    report = insert(
        network,
        config.mechanism,
        num_frames=config.num_frames,
        where=config.where,
        position=config.position,
        reduction=config.reduction,
        init=config.init,
        **config.mechanism_options,
    )
    model = VideoClassifier(
        network,
        config.num_classes,
        num_frames=config.num_frames,
        dropout=config.dropout,
        consensus=config.consensus,
        freeze_backbone=config.freeze_backbone,
        config=config,
        **extras,
    )
    model.insertion = report
    model.as_built = outline_of(model)
    return model
