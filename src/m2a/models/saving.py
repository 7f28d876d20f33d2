"""A model on disk: `model.safetensors` beside a `config.json` that rebuilds it with its labels and preprocessing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import safetensors.torch
from huggingface_hub import hf_hub_download
from huggingface_hub.constants import CONFIG_NAME, SAFETENSORS_SINGLE_FILE

from m2a.data.preprocessing import Preprocessing
from m2a.errors import CheckpointError, ConfigError, NotFoundError, WeightsUnavailableError
from m2a.models.config import ModelConfig
from m2a.models.weights import load_whole, read_state_dict

if TYPE_CHECKING:
    from m2a.models.classifier import VideoClassifier

_FORMAT = 1


def save(model: VideoClassifier, folder: Path) -> None:
    """Writes `model.safetensors` and `config.json`. Raises ConfigError for a model that `create_model` did not make."""
    if model.config is None:
        raise ConfigError(
            "This VideoClassifier was put together by hand, so config.json could not say how to build it again. Make "
            "it with m2a.create_model, or pass config=m2a.models.ModelConfig(...) to VideoClassifier."
        )
    content = {
        "format": _FORMAT,
        "library": f"m2a {version('m2a')}",
        "model": model.config.to_dict() | {"num_frames": model.num_frames},
        "class_names": list(model.labels) if model.labels is not None else None,
        "clips": model.preprocessing.to_dict(),
    }
    tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
    content_bytes = safetensors.torch.save(tensors, metadata={"format": "pt"})
    (folder / SAFETENSORS_SINGLE_FILE).write_bytes(content_bytes)  # save_file makes files only the owner can read
    (folder / CONFIG_NAME).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load(model_id: str, kind: type[VideoClassifier], **hub: Any) -> Any:
    """Reads what `save` wrote, from a folder or from the Hugging Face hub.

    Raises:
        NotFoundError: a path that does not exist, or a folder that holds no model.
        WeightsUnavailableError: the hub does not have it or cannot be reached.
        CheckpointError: the files are damaged or from a newer version.
    """
    from m2a.models.create import build  # it imports VideoClassifier, which imports this module

    config_path, weights_path = (_locate(model_id, name, hub) for name in (CONFIG_NAME, SAFETENSORS_SINGLE_FILE))
    content = _read_config(config_path)
    labels = content["class_names"]
    model = build(
        ModelConfig.from_dict(content["model"]),
        labels=labels,
        preprocessing=Preprocessing.from_dict(content["clips"]),
    )
    load_whole(model, read_state_dict(weights_path), weights_path)
    return model.eval()


def _read_config(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CheckpointError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or not {"format", "model", "class_names", "clips"} <= set(content):
        raise CheckpointError(f"{path} was not written by m2a: it lacks format, model, class_names or clips.")
    if content["format"] > _FORMAT:
        raise CheckpointError(
            f"{path} is of format {content['format']}; this version reads up to {_FORMAT}. Update m2a."
        )
    return content


def _locate(model_id: str, name: str, hub: Mapping[str, Any]) -> Path:
    folder = Path(model_id)
    if folder.is_dir():
        if (folder / name).is_file():
            return folder / name
        inside = folder / "model"
        hint = f" Did you mean {inside}?" if (inside / name).is_file() else ""
        raise NotFoundError(f"{folder} holds no {name}, so it is not a saved model.{hint}")
    if folder.is_absolute() or model_id.count("/") != 1 or model_id.startswith("."):
        raise NotFoundError(
            f"There is no folder {model_id}. Give a folder that save_pretrained or m2a train wrote (RUN/model), or the "
            "name of a model on the hub, owner/name."
        )
    known = ("revision", "cache_dir", "force_download", "local_files_only", "token")
    try:
        return Path(hf_hub_download(model_id, name, **{key: hub[key] for key in known if key in hub}))
    except OSError as error:
        raise WeightsUnavailableError(
            f"There is no folder {model_id} here, and {name} of a model by that name could not be fetched from the hub "
            f"({type(error).__name__})."
        ) from error
