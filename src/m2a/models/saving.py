"""A model on disk: `model.safetensors` beside a `config.json` that rebuilds it with its labels and preprocessing."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
import torch
from huggingface_hub import ModelHubMixin, hf_hub_download
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE
from huggingface_hub.errors import HFValidationError
from torch import Tensor, nn

from m2a.data.preprocessing import Preprocessing
from m2a.errors import CheckpointError, ConfigError, M2AError, NotFoundError, WeightsUnavailableError
from m2a.models import adapters
from m2a.models.config import ModelConfig
from m2a.models.layers import layers_of
from m2a.models.live import live_config
from m2a.models.restoring import as_it_was_on_error
from m2a.models.weights import load_whole, read_state_dict
from m2a.writing import put_all

if TYPE_CHECKING:
    from m2a.models.classifier import VideoClassifier

_FORMAT = 1
_OWN_OPTIONS = ("backbone", "image_weights")
"""Of `from_pretrained`, beside huggingface_hub's."""


def save(model: VideoClassifier, folder: Path) -> None:
    """Writes `model.safetensors` and `config.json`. Raises ConfigError as `describe` does."""
    config = config_of(describe(model))
    put_all({folder / SAFETENSORS_SINGLE_FILE: tensors_of(model.state_dict()), folder / CONFIG_NAME: config})


def describe(model: VideoClassifier) -> dict[str, Any]:
    """The content of `config.json`, of the model as it is now. Raises ConfigError for a model that `create_model` did
    not make and could not make."""
    return {
        "format": _FORMAT,
        "library": f"m2a {version('m2a')}",
        "model": live_config(model).to_dict(),
        "class_names": list(model.labels) if model.labels is not None else None,
        "clips": model.preprocessing.to_dict(),
    }


def check_savable(model: VideoClassifier) -> None:
    """Raises ConfigError where `save` would, or where `load` could not read what it wrote."""
    config_of(describe(model))
    check_rebuilt(model)


def outline_of(model: VideoClassifier) -> tuple[Any, ...]:
    """What `load` goes by, the names and shapes of the weights that it would find, and the backbone's layers."""
    shapes = tuple((key, tuple(value.shape)) for key, value in model.state_dict().items())
    config = live_config(model)
    layers = () if config.own_backbone else layers_of(model.backbone)
    return config, model.preprocessing.size, shapes, layers


def check_rebuilt(model: VideoClassifier) -> None:
    """Raises ConfigError where the config of a model builds another one, as far as names and shapes of its weights and
    the layers of its backbone tell: one whose layers were replaced, compiled, pruned, resized or set otherwise."""
    from m2a.models.create import build

    config, _, shapes, layers = outline = outline_of(model)
    if config.own_backbone or outline == model.as_built:  # the first of which its author builds
        return
    hint = " Save it before it is compiled." if any("_orig_mod" in name for name, _ in (*shapes, *layers)) else ""
    how: dict[str, Any] = {"size": model.preprocessing.size, "labels": None, "preprocessing": model.preprocessing}
    try:
        with torch.device("meta"):
            built = build(config, **how)
    except WeightsUnavailableError:  # a name with a colon, whose config timm looks up
        return
    except M2AError as error:
        raise ConfigError(f"m2a.load could not build this model from its config.json: {error}{hint}") from error
    except Exception:  # some networks are built with numbers that they compute, which the meta device has not
        built = build(config, **how)
    _, _, shapes_built, layers_built = outline_of(built)
    if found := _first_difference(shapes, shapes_built):
        name, *both = found
        here, there = ("missing" if shape is None else f"of shape {shape}" for shape in both)
        raise ConfigError(
            f"m2a.load could not read this model: {name!r} is {here} here and {there} in what its config.json builds. "
            "Layers were replaced, pruned or resized since m2a.create_model, which config.json cannot say. Undo that "
            f"(prune.remove, model.preprocessing), or save model.state_dict() and build the model yourself.{hint}"
        )
    if found := _first_difference(layers, layers_built):
        name, *both = found
        here, there = ("missing, or an identity," if layer is None else f"a {layer}" for layer in both)
        raise ConfigError(
            f"m2a.load would build another model: {name!r} is {here} here and {there} in what its config.json builds. "
            "Layers were replaced or set otherwise since m2a.create_model, which config.json cannot say. Undo that, or "
            f"save model.state_dict() and build the model yourself.{hint}"
        )


def _first_difference(
    ours: Iterable[tuple[str, Any]], theirs: Iterable[tuple[str, Any]]
) -> tuple[str, Any, Any] | None:
    """The first name under which two outlines have different things, and those; None for what one has not."""
    here, there = dict(ours), dict(theirs)
    names = (name for name in (*here, *there) if here.get(name) != there.get(name))
    return next(((name, here.get(name), there.get(name)) for name in names), None)


def tensors_of(state: Mapping[str, Tensor]) -> bytes:
    """safetensors, which have no shared memory: tied weights, and views of one tensor, are written under each of their
    names."""
    seen: set[int] = set()
    tensors = {}
    for key, value in state.items():
        storage = value.untyped_storage().data_ptr()
        tensors[key] = value.contiguous().clone() if storage in seen else value.contiguous()
        seen.add(storage)
    return safetensors.torch.save(tensors, metadata={"format": "pt"})  # save_file's only the owner can read


def config_of(content: Mapping[str, Any]) -> bytes:
    """`config.json`. Raises ConfigError for options that JSON has no form for."""
    try:
        return (json.dumps(content, indent=2) + "\n").encode()
    except TypeError as error:
        options = {name: value for name, value in content["model"].items() if name.endswith("options") and value}
        raise ConfigError(
            f"config.json cannot hold these options: {options} ({error}). Give them as text or numbers, or build the "
            "network yourself and pass it to m2a.create_model as the backbone."
        ) from error


@contextmanager
def kept_on_error(path: Path) -> Iterator[None]:
    """Puts a small file back where what is done inside deletes it and raises."""
    content = path.read_bytes() if path.is_file() else None
    try:
        yield
    except BaseException:
        if content is not None and not path.exists():
            path.write_bytes(content)
        raise


def load(
    model_id: str, *, backbone: nn.Module | None = None, image_weights: str | Path | None = None, **hub: Any
) -> VideoClassifier:
    """Reads what `save` or `adapters.save` wrote, from a folder (of a run, its `model/`) or from the Hugging Face hub.

    Raises:
        NotFoundError: a path that does not exist, or a folder that holds no model.
        WeightsUnavailableError: the hub does not have it or cannot be reached.
        CheckpointError: the files are damaged or from a newer version, or image weights are not those of the adapter.
        ConfigError: `backbone` or `image_weights` is needed, or given and of no use.
    """
    from m2a.models.create import build  # it imports VideoClassifier, which imports this module

    content = read_config(model_id, hub)
    config, preprocessing = parsed(content, model_id)
    of_adapter = "adapter" in content
    weights_path = locate(model_id, adapters.ADAPTER if of_adapter else SAFETENSORS_SINGLE_FILE, hub)
    _check_given(model_id, config, backbone, image_weights, of_adapter)
    pretrained: bool | str | Path = image_weights or False  # a network of one's own may have its weights in it
    if of_adapter and backbone is None and not pretrained:
        pretrained = _image_weights(model_id, config)
    # an adapter brings image weights, or rounds those that are there; a whole model's are put in when they fit
    kept = nullcontext() if backbone is None else as_it_was_on_error(backbone, values=of_adapter)
    with kept:
        model = build(
            config,
            backbone,
            pretrained=pretrained,
            size=preprocessing.size,
            labels=content["class_names"],
            preprocessing=preprocessing,
        )
        if of_adapter:
            adapters.load(model, content, read_state_dict(weights_path), weights_path)
        else:
            load_whole(model, read_state_dict(weights_path), weights_path)
    return model.eval()


def outline(model_id: str, *, size: int | None = None) -> VideoClassifier:
    """A saved model, or one that an adapter makes, with random weights: its shapes, which need none of its files but
    `config.json`. `size` of its images is by default its own.

    Raises:
        NotFoundError, WeightsUnavailableError, CheckpointError: as `load` does.
        ConfigError: a model around a network of its author's, or a size that it does not take.
    """
    from m2a.models.create import build

    content = read_config(model_id)
    config, preprocessing = parsed(content, model_id)
    _check_given(model_id, config, None, None, "adapter" in content)
    if size is not None:
        preprocessing = replace(preprocessing, size=size)
    return build(config, None, pretrained=False, size=preprocessing.size, labels=None, preprocessing=preprocessing)


def check_options(options: Iterable[str]) -> None:
    """Raises ConfigError for options that `from_pretrained` has not: neither ours nor huggingface_hub's."""
    of_hub = inspect.signature(ModelHubMixin.from_pretrained).parameters.values()
    known = [*_OWN_OPTIONS, *(option.name for option in of_hub if option.kind is option.KEYWORD_ONLY)]
    if unknown := [option for option in options if option not in known]:
        raise ConfigError(
            f"from_pretrained has no {', '.join(unknown)}; its options are {', '.join(known)}. What a model is comes "
            "from its config.json: change it once it is loaded (model.num_frames = 16, model.head = ...), or make "
            "another with m2a.create_model."
        )


def is_adapter(model_id: str) -> bool:
    """Whether a saved model is an adapter. Raises what `load` does where there is none."""
    return "adapter" in read_config(model_id)


def parsed(content: Mapping[str, Any], model_id: str) -> tuple[ModelConfig, Preprocessing]:
    """What a `config.json` describes. Raises CheckpointError for values of a kind that they cannot be."""
    try:
        return ModelConfig.from_dict(content["model"]), Preprocessing.from_dict(content["clips"])
    except CheckpointError as error:  # of another version: nothing is damaged
        raise CheckpointError(f"{model_id}: {error}") from error
    except (TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{model_id}: its {CONFIG_NAME} is damaged ({type(error).__name__}: {error}).") from error


def _check_given(
    model_id: str, config: ModelConfig, backbone: nn.Module | None, image_weights: object, of_adapter: bool
) -> None:
    if config.own_backbone and backbone is None:
        raise ConfigError(
            f"{model_id} was made around a network of its author's, a {config.backbone}, which its files cannot build. "
            "Build it, without m2a.insert, and pass it on: m2a.load(path, backbone=network)."
        )
    if backbone is not None and not config.own_backbone:
        raise ConfigError(f"{model_id} has the backbone {config.backbone!r}, which is built from its name.")
    if image_weights is not None and not of_adapter:
        raise ConfigError(f"{model_id} is a whole model, which has its image weights; leave image_weights out.")


def _image_weights(model_id: str, config: ModelConfig) -> bool | str:
    """The weights an adapter was trained beside, as its config names them."""
    from m2a.models.starting import names_model  # it imports this module

    if config.pretrained is True or (config.pretrained and Path(config.pretrained).is_file()):
        return config.pretrained
    if names_model(config.pretrained):
        with suppress(NotFoundError, WeightsUnavailableError):
            locate(str(config.pretrained), CONFIG_NAME)
            return str(config.pretrained)
    known = (
        f"They were {config.pretrained}, which is not here." if config.pretrained else "Its config does not name them."
    )
    raise NotFoundError(
        f"{model_id} is an adapter, which needs the image weights it was trained beside. {known} Pass them on: "
        "m2a.load(path, image_weights=FILE), on the command line --image-weights FILE."
    )


def read_config(model_id: str, hub: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
    """The `config.json` of a saved model, of a run or on the hub. Raises what `load` does where there is none, or it is
    damaged."""
    path = locate(model_id, CONFIG_NAME, hub)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or not {"format", "model", "class_names", "clips"} <= set(content):
        raise CheckpointError(f"{path} was not written by m2a: it lacks format, model, class_names or clips.")
    names = content["class_names"]
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise CheckpointError(f"{path} is damaged: class_names is {names!r}, which is no list of names.")
    if not isinstance(content["format"], int):
        raise CheckpointError(f"{path} is damaged: format is {content['format']!r}, which is no number.")
    if content["format"] > _FORMAT:
        raise CheckpointError(
            f"{path} is of format {content['format']}; this version reads up to {_FORMAT}. Update m2a."
        )
    return content


def _inside_run(model_id: str) -> str:
    """The model of a run, where it is the run's folder that is given."""
    folder = Path(model_id)
    inside = folder / "model"
    return str(inside) if (inside / CONFIG_NAME).is_file() and not (folder / CONFIG_NAME).is_file() else model_id


def locate(model_id: str, name: str, hub: Mapping[str, Any] | None = None) -> Path:
    """A file of a saved model, of a run or on the hub, from which it is fetched with the options `hub`. Raises
    NotFoundError and WeightsUnavailableError."""
    model_id, hub = _inside_run(model_id), hub or {}
    folder = Path(model_id)
    if folder.is_dir():
        if (folder / name).is_file():
            return folder / name
        if (folder / "config.yaml").is_file():  # a run's
            config, out = (shlex.quote(str(path)) for path in (folder / "config.yaml", folder))
            raise NotFoundError(
                f"{folder} holds a run without a model; it did not finish. Resumed with --epochs and as many epochs as "
                f"are complete it ends there, with the best model so far. Go on with: m2a train --resume --config "
                f"{config} --out {out}"
            )
        raise NotFoundError(f"{folder} holds no {name}, so it is not a saved model.")
    if folder.is_file():
        raise NotFoundError(
            f"{folder} is a file. A saved model is a folder, that save_pretrained or m2a train wrote (RUN, RUN/model). "
            "What m2a export writes is for m2a predict and m2a evaluate, in Python m2a.export.load_exported; weights "
            "alone go into a model by m2a convert."
        )
    if folder.is_absolute() or model_id.count("/") != 1 or model_id.startswith("."):
        raise NotFoundError(
            f"There is no folder {model_id}. Give a folder that save_pretrained or m2a train wrote (RUN, RUN/model), "
            "or the name of a model on the hub, owner/name."
        )
    if folder.parent.is_dir():
        raise NotFoundError(
            f"There is no folder {model_id}: {folder.parent} is here and has no {folder.name}. (A model of that name "
            f"on the hub is fetched only where there is no folder {folder.parent}.)"
        )
    known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
    try:
        return Path(hf_hub_download(model_id, name, **{key: hub[key] for key in known if key in hub}))
    except HFValidationError as error:
        raise NotFoundError(f"There is no folder {model_id}, and no model on the hub can be called so.") from error
    except OSError as error:
        raise WeightsUnavailableError(
            f"There is no folder {model_id} here, and {name} of a model by that name could not be fetched from the hub "
            f"({type(error).__name__})."
        ) from error
