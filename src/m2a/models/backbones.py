"""Image networks by name: timm's, and torchvision's as `torchvision/<name>`."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torchvision
from torch import nn

from m2a.errors import ConfigError, WeightsUnavailableError
from m2a.insertion.trace import UntraceableError, trace
from m2a.models.weights import load_image_weights

TORCHVISION = "torchvision/"
_TAKEN: set[tuple[str, int | None, str]] = set()
"""Names, image sizes and options of networks that were seen to take images of that size."""


def create_backbone(
    name: str,
    *,
    pretrained: bool | str | Path = False,
    size: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> Any:
    """An image network, timm's without its classifier, torchvision's with it.

    Args:
        name: of timm ("resnet18", "hf-hub:owner/name"), or "torchvision/resnet18".
        pretrained: True for the weights that timm or torchvision has for it, downloaded on first use, or the path of
            an image checkpoint.
        size: height and width of its images, for networks that are built for one size. Where timm can change it
            afterwards, weights are read at the size they were trained at, and position embeddings resampled.
        options: keyword arguments of `timm.create_model` or torchvision's builder.

    Raises:
        ConfigError: there is no such network, it has no weights, or it does not take the options.
        WeightsUnavailableError: the weights could not be downloaded.
        NotFoundError, CheckpointError: the file is not there, or does not fit.
    """
    options = dict(options or {})
    create = _of_torchvision if name.startswith(TORCHVISION) else _of_timm
    network = create(name, pretrained is True, options)
    resizable = hasattr(network, "set_input_size")
    fixed = fixed_size(network)
    option = "image_size" if hasattr(network, "image_size") else "img_size"  # torchvision's, or timm's
    if size is not None and not resizable and fixed not in (None, (size, size)) and option not in options:
        network = _built_for(size, create, name, pretrained is True, options, option, "")
    taken = (name, size, repr(options))
    if size is not None and not resizable and taken not in _TAKEN and (reason := _refuses(network, size)):
        network = _built_for(size, create, name, pretrained is True, options, option, reason)
    else:
        _TAKEN.add(taken)
    if pretrained and pretrained is not True:
        load_image_weights(network, pretrained)
    if size is not None and resizable and fixed != (size, size):
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", module="timm.layers.interpolate")  # of Swin's tables
                network.set_input_size(img_size=(size, size))  # position embeddings and windows
        except (AssertionError, RuntimeError, ValueError) as error:
            raise _does_not_take(name, size, str(error), fixed) from error
    return network


def _refuses(network: nn.Module, size: int) -> str:
    """Why a network does not take images of a size, "" where it does, or takes none that could be tried."""
    native = (getattr(network, "pretrained_cfg", None) or {}).get("input_size", ())
    if fixed_size(network) == (size, size) or tuple(native[-2:]) == (size, size):
        return ""
    try:
        trace(network, size=(size, size))
    except UntraceableError as error:
        return str(error).strip() if _is_traceable(network) else ""
    return ""


def _is_traceable(network: nn.Module) -> bool:
    try:
        trace(network)
    except UntraceableError:
        return False
    return True


def _built_for(
    size: int, create: Any, name: str, pretrained: bool, options: Mapping[str, Any], option: str, reason: str
) -> Any:
    """A network that does not say that it is built for one size. Raises ConfigError where it cannot be for this one."""
    try:
        network = create(name, pretrained, {**options, option: size})
        reason = _refuses(network, size)
    except (ConfigError, RuntimeError, AssertionError, ValueError) as error:
        network, reason = None, reason or str(error)
    if network is None or reason:
        native = (getattr(create(name, False, dict(options)), "pretrained_cfg", None) or {}).get("input_size", ())
        raise _does_not_take(name, size, reason, native)
    network.pretrained_cfg = {**network.pretrained_cfg, "input_size": (3, size, size)}  # as it is built
    return network


def _does_not_take(name: str, size: int, reason: str, native: Sequence[int] | None) -> ConfigError:
    own = f" It was made for {native[-2]} x {native[-1]}." if native else ""
    return ConfigError(f"{name!r} does not take images of {size} x {size} pixels ({reason}).{own} Give another size=.")


def list_torchvision() -> list[str]:
    """torchvision's networks for classifying images, as `create_backbone` takes them."""
    return [TORCHVISION + name for name in torchvision.models.list_models(module=torchvision.models)]


def _of_timm(name: str, pretrained: bool, options: dict[str, Any]) -> Any:
    if ":" not in name and not timm.is_model(name):  # with a colon it is somewhere else: hf-hub:, local-dir:
        near = difflib.get_close_matches(name, [*timm.list_models(), *list_torchvision()], n=3)
        hint = f" Near it: {', '.join(near)}." if near else ""
        raise ConfigError(
            f"timm has no model called {name!r}.{hint} timm.list_models() has them all; torchvision's are called "
            "torchvision/<name>."
        )
    try:
        return timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
    except (TypeError, AttributeError) as error:
        if not options:
            raise
        raise ConfigError(f"timm's {name!r} cannot be built with {options}: {error}") from error
    except RuntimeError as error:
        if not pretrained:
            raise
        raise ConfigError(f"timm cannot give weights for {name!r}: {error}") from error
    except OSError as error:
        raise _unavailable(name, error) from error
    except (ValueError, KeyError) as error:  # huggingface_hub's and timm's own of names with a colon
        if ":" not in name:
            raise
        raise ConfigError(
            f"timm cannot make {name!r} ({type(error).__name__}: {error}). Names with a colon are "
            "hf-hub:owner/name and local-dir:FOLDER, of a folder with timm's config.json."
        ) from error


def _of_torchvision(name: str, pretrained: bool, options: dict[str, Any]) -> Any:
    plain = name.removeprefix(TORCHVISION)
    models = [n for module in (torchvision.models, torchvision.models.video) for n in _names(module)]
    if plain not in models:
        near = difflib.get_close_matches(plain, models, n=3)
        hint = f" Near it: {', '.join(TORCHVISION + n for n in near)}." if near else ""
        raise ConfigError(f"torchvision has no classification model called {plain!r}.{hint}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*default weight initialization.*")  # googlenet, inception
            network = torchvision.models.get_model(plain, weights="DEFAULT" if pretrained else None, **options)
    except (TypeError, ValueError) as error:
        if not options:
            raise
        raise ConfigError(f"torchvision's {plain!r} cannot be built with {options}: {error}") from error
    except OSError as error:
        raise _unavailable(name, error) from error
    network.pretrained_cfg = _preprocessing_of(plain, fixed_size(network))  # where timm has it
    return network


def _names(module: Any) -> list[str]:
    return torchvision.models.list_models(module=module)


def _preprocessing_of(name: str, fixed: tuple[int, ...] | None) -> dict[str, Any]:
    """What torchvision's weights were trained with; the image size as the network is built."""
    transforms: Any = torchvision.models.get_model_weights(name)["DEFAULT"].transforms()
    size = fixed[-1] if fixed else int(transforms.crop_size[-1])
    return {"input_size": (3, size, size), "mean": tuple(transforms.mean), "std": tuple(transforms.std)}


def fixed_size(network: nn.Module) -> tuple[int, ...] | None:
    """The one image size a network is built for, where it says so."""
    size = getattr(getattr(network, "patch_embed", None), "img_size", None) or getattr(network, "image_size", None)
    return None if size is None else (size, size) if isinstance(size, int) else tuple(size)


def least_size(network: nn.Module) -> tuple[int, ...] | None:
    """The image size of a timm network that is made for one or takes none below it, as its configuration says."""
    config = getattr(network, "pretrained_cfg", None) or {}
    size = tuple(config.get("input_size", ()))[-2:]
    if config.get("fixed_input_size"):
        return size or None
    least = config.get("min_input_size")
    return size if least is not None and max(least[-2:]) > 224 else None


def _unavailable(name: str, error: Exception) -> WeightsUnavailableError:
    return WeightsUnavailableError(
        f"The weights of {name!r} are not in the local cache and could not be downloaded ({type(error).__name__}). "
        "Without a connection: give an image checkpoint, --pretrained FILE or pretrained=path (.safetensors or .pth), "
        "or start from random weights, --pretrained none or pretrained=False."
    )
