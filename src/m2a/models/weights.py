"""Reading weights from files, and putting image weights into a network that may carry mechanisms."""

from __future__ import annotations

import pickle
import re
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import safetensors.torch
import torch
from torch import Tensor, nn

from m2a.errors import CheckpointError, NotFoundError
from m2a.insertion.insert import belongs_to_mechanism
from m2a.models.frame_features import find_classifier, removed_classifiers
from m2a.wording import first_few, quoted

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".tar")
"""What files of weights are called."""
_WRAPPERS = re.compile(r"^((module|_orig_mod)\.)+")
_NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "state_dict_ema", "model_ema")
_ONE_AT_A_TIME = threading.Lock()  # what torch takes for safe is the process's
_READING = threading.local()  # so that other threads' files get no stand-ins
_DEEPEST = 10  # of wrappers in wrappers; one may hold itself
_KINDS_OF_OBJECTS = 100  # in one file, which is more than any is known to have


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """Tensors by name from a .safetensors or .pth/.pt/.bin/.ckpt file, on the CPU. Wrappers that training scripts put
    around (`{"state_dict": ...}`, `module.`, `_orig_mod.`) are taken off. Pickles are read with
    `weights_only=True`, or not at all: of Python objects that lie beside the tensors, such as the arguments of the
    training, nothing is made.

    Raises:
        NotFoundError: no such file.
        CheckpointError: damaged, of another format, or a pickle in which objects stand where tensors should.
        PermissionError: it may not be read.
    """
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"There is no checkpoint {path}. Give the path of a .safetensors or .pth file.")
    with path.open("rb"):  # safetensors says of a file that may not be read that it is not there
        pass
    try:
        if path.suffix.lower() == ".safetensors":
            loaded: Any = safetensors.torch.load_file(path)
        else:
            check_whole_zip(path)
            loaded = _load_pickle(path)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged, or holds Python objects in the place of tensors, or such as cannot be passed by, "
            "which would run code on loading and is refused. Save its state_dict alone, or as .safetensors. "
            f"({_reason(str(error))})"
        ) from error
    except OSError:
        raise
    except Exception as error:  # torch passes on whatever foreign bytes lead it to: KeyError, struct.error, ...
        raise CheckpointError(
            f"{path} cannot be read as a checkpoint; it is damaged or cut off ({type(error).__name__}: {error})"
        ) from error
    return without_prefix(_unwrapped(loaded, path), path)


class _Discarded:
    """Stands for a Python object of a file of weights. It takes what the object would be made of, and keeps nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> _Discarded:
        if not getattr(_READING, "here", False):
            raise pickle.UnpicklingError("This object is not safe to make; m2a reads another file meanwhile.")
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


def _load_pickle(path: Path) -> Any:
    """With `_Discarded` for what torch's restricted unpickler would refuse, so that nothing of the file's is run.

    Raises UnpicklingError, the first, where that leaves no state_dict.
    """
    first: pickle.UnpicklingError | None = None
    names: set[str] = set()
    while True:
        try:
            with _ONE_AT_A_TIME, torch.serialization.safe_globals([(_Discarded, name) for name in names]):
                _READING.here = True
                try:
                    loaded = torch.load(path, map_location="cpu", weights_only=True)
                finally:
                    _READING.here = False
            if first is None or _innermost(loaded) is not None:
                return loaded
            raise first
        except pickle.UnpicklingError as error:
            first = first or error
            unknown = _object_in(str(error))
            if unknown is None or unknown in names or len(names) > 2 * _KINDS_OF_OBJECTS:
                raise first from None
            names |= {unknown, f"builtins.{unknown}"}  # torch does not name that module
        except Exception:  # of what cannot be made of a stand-in, such as a class of tensors
            if first is None:
                raise
            raise first from None


def check_whole_zip(path: Path) -> None:
    """Raises ValueError where a zip file, as torch's are, holds other bytes than were written. torch does not look."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            if (member := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {member} is not that of what it holds")


def _innermost(loaded: Any) -> Mapping[Any, Tensor] | None:
    """The tensors by name inside the wrappers of training scripts, if there are any."""
    for _ in range(_DEEPEST):
        if not isinstance(loaded, Mapping):
            return None
        if loaded and all(isinstance(value, Tensor) for value in loaded.values()):
            return None if any(isinstance(key, _Discarded) for key in loaded) else loaded
        loaded = next((loaded[key] for key in _NESTED if isinstance(loaded.get(key), Mapping)), None)
    return None


def _unwrapped(loaded: Any, path: Path) -> Mapping[Any, Tensor]:
    if (state := _innermost(loaded)) is not None:
        return state
    there = f"; there is {quoted([*loaded])}" if isinstance(loaded, Mapping) and loaded else ""
    raise CheckpointError(f"{path} holds no state_dict: a mapping from parameter names to tensors was expected{there}.")


def without_prefix(state: Mapping[Any, Tensor], what: str | Path) -> dict[str, Tensor]:
    """By names without what parallel training (`module.`) and torch.compile (`_orig_mod.`) put before them. Raises
    CheckpointError where two fall on one."""
    found: dict[str, Tensor] = {}
    for key, value in state.items():
        name = _WRAPPERS.sub("", str(key))
        if name in found:
            raise CheckpointError(f"{what}: two keys fall on {name!r}, with module. and without; is it two networks?")
        found[name] = value
    return found


def _reason(complaint: str) -> str:
    """Which object torch would not load; it names it after many lines of advice, some of it to load the file anyway."""
    if found := _object_in(complaint):
        return f"It holds {found}."
    return "It is no file that torch.save wrote." if "weights_only" in complaint else complaint.splitlines()[0]


def _object_in(complaint: str) -> str | None:
    found = re.search(r"GLOBAL (\S+)", complaint)
    return found[1] if found else None


def load_image_weights(network: nn.Module, path: str | Path) -> None:
    """Loads a plain image checkpoint into `network`, with or without mechanisms inside. Only the mechanisms' own keys
    may be missing from the file, only the image classifier's may be left over.

    Raises CheckpointError when anything else does not fit, and changes nothing then.
    """
    state = read_state_dict(path)
    own = network.state_dict()
    names = {key.removeprefix("model.") for key in state}  # which a run's checkpoints have before them
    if "head.weight" in names and all(name.startswith(("backbone.", "head.", "consensus.")) for name in names):
        raise CheckpointError(
            f"{path} holds the weights of a whole video model. To start from that, give the folder that its "
            "config.json is in: of a run RUN, or RUN/model."
        )
    if foreign := [key for key in state if ".mechanism." in key and key not in own]:
        raise CheckpointError(
            f"{path} was saved with another mechanism inside: {first_few(foreign, 3)} have no place here. Load it with "
            "m2a.load, or give a plain image checkpoint."
        )
    head = _classifier_names(network, state)
    state = {
        key: value
        for key, value in state.items()
        if not (key.startswith(head) and (key not in own or own[key].shape != value.shape))
    }
    of_mechanism = belongs_to_mechanism(network)
    missing = [key for key in own if key not in state and not of_mechanism(key) and not key.startswith(head)]
    missing = [key for key in missing if not key.endswith("num_batches_tracked")]  # older files have none
    unexpected = [key for key in state if key not in own]
    wrong = [key for key in state if key in own and own[key].shape != state[key].shape]
    if missing or unexpected or wrong:
        raise CheckpointError(_misfit(path, network, missing, unexpected, wrong, own, state))
    network.load_state_dict({**own, **state})


def load_whole(model: nn.Module, state: Mapping[str, Tensor], source: str | Path) -> None:
    """Loads a state dict that must fit exactly. Raises CheckpointError naming what does not."""
    own = model.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    wrong = [key for key in state if key in own and own[key].shape != state[key].shape]
    if missing or unexpected or wrong:
        raise CheckpointError(_misfit(source, model, missing, unexpected, wrong, own, state))
    model.load_state_dict(dict(state))


def _classifier_names(network: nn.Module, state: Mapping[str, Tensor]) -> tuple[str, ...]:
    config: Any = getattr(network, "pretrained_cfg", None) or {}
    names = config.get("classifier") or _taken_off(network, state) or find_classifier(network)
    names = names or ("fc", "classifier", "head.fc")
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))


def _taken_off(network: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """The identities at the end of the network for which the checkpoint has a linear layer, or a 1 x 1 convolution."""
    weights = {name: state.get(f"{name}.weight") for name in removed_classifiers(network)}
    return [name for name, weight in weights.items() if weight is not None and weight.ndim in (2, 4)]


def _misfit(
    source: str | Path,
    model: nn.Module,
    missing: Sequence[str],
    unexpected: Sequence[str],
    wrong: Sequence[str],
    own: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
) -> str:
    lines = [f"{source} does not fit this {type(model).__name__}."]
    if missing:
        lines.append(f"Not in the file: {first_few(missing, 3)}.")
    if unexpected:
        lines.append(f"Not in the model: {first_few(unexpected, 3)}.")
    if wrong:
        key = wrong[0]
        lines.append(
            f"Of another shape: {first_few(wrong, 3)} ({key}: {tuple(state[key].shape)}, not {tuple(own[key].shape)})."
        )
    if any(".mechanism." in key for key in (*missing, *unexpected)):
        lines.append("The mechanisms differ: build the model with the mechanism the file was trained with.")
    else:
        lines.append("Is it a checkpoint of the same backbone?")
    return " ".join(lines)
