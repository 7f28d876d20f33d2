"""The options of a training run. This dataclass is the only place where one is defined: the flags of `m2a train`, the
YAML of a run and the option table in the docs all come from it. It imports nothing heavy.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml

from m2a.errors import ConfigError, NotFoundError
from m2a.writing import put

_KINDS = {Path: "a path", str: "text", bool: "true or false", int: "a whole number", float: "a number"}
_KINDS |= {tuple: "a list", dict: "a mapping"}
_LAST_SEED = 2**32 - 1  # that numpy takes
_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")

Optimizer = Literal["sgd", "adamw"]
Schedule = Literal["step", "one-cycle", "constant"]
Precision = Literal["32", "bf16-mixed", "16-mixed"]
Consensus = Literal["avg", "attention"]
ClassWeights = Literal["none", "balanced"]
Init = Literal["paper", "identity"]
Decoder = Literal["pyav", "torchcodec", "auto"]
Sampling = Literal["segments", "uniform", "dense"]
Device = Literal["auto", "cpu", "gpu", "cuda", "mps"]
Cache = Literal["none", "ram", "disk"]
DataFormat = Literal[
    "auto", "something-something-v1", "something-something-v2", "jester", "kinetics", "ucf101", "hmdb51", "tsn",
    "mmaction2", "ibm", "csv", "shards", "class-folders",
]  # fmt: skip

NO_MATTER = ("decoder", "cache", "cache_folder", "workers", "device", "compile", "channels_last", "skip_bad")
"""Options that say how training is computed, and not what."""


@dataclass(kw_only=True)
class TrainConfig:
    """One training run: data, model and recipe. The defaults are the paper's recipe."""

    data: Path
    """The data set as it is: a folder in one of the layouts of `format`, or a list of clips (.csv, .txt)."""
    out: Path | None = None
    """Folder of the run; must be new or empty. Default: runs/<data>-<backbone>-<mechanism>."""
    format: DataFormat = "auto"
    """Layout of the data set; auto tells by what is there. docs/how-to/data-sets.md shows them."""
    split: int = 1
    """Which official split, where a data set has several: 1, 2 or 3 of UCF101 and HMDB51."""
    missing: Literal["error", "skip"] = "error"
    """What to do about clips that an annotation file names and the disk does not have."""
    skip_list: Path | None = None
    """A file of clips to leave out, one path a line, such as the skip.txt of m2a data check."""
    train_clips_per_class: int | None = None
    """Train on this many clips of each class, the same ones for every seed; a class with fewer keeps all. Default: all
    clips."""
    validation_clips_per_class: int | None = None
    """Likewise of the clips that are validated and measured on."""

    backbone: str = "resnet18"
    """A timm model, such as resnet18, mobilenetv2_100, convnext_tiny, vit_small_patch16_224; or torchvision/<name>."""
    mechanism: str = "m2a"
    """The mechanism: none, m2a, m2a-motion, m2a-attention, tsm, or a stack such as m2a+tsm."""
    mechanism_options: dict[str, str | int | float] = field(default_factory=dict)
    """Options of the mechanism, such as --mechanism-options.boundary zero."""
    backbone_options: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments for timm.create_model, such as --backbone-options.drop_path_rate 0.1."""
    inflate: bool = False
    """Make a ResNet a 3D network (I3D): 3x3x3 kernels, temporal strides."""
    reduction: int = 8
    """The gate works on 1/reduction of the channels."""
    init: Init = "paper"
    """What mechanisms start as: paper (weights as published) or identity (the image network as it was)."""
    freeze_backbone: bool = False
    """Train the mechanisms and the last layer alone, and save them as an adapter too."""
    consensus: Consensus = "avg"
    """How frames' scores become the clip's: avg, or attention (a mean with learned weights)."""
    pretrained: str = "imagenet"
    """Weights to start from: imagenet (downloaded on first use), none, the path of a .safetensors or .pth file of image
    weights, or a trained model, RUN or owner/name, whose backbone, mechanism, frames and size are the command's
    defaults then."""
    num_frames: int = 8
    """Frames sampled from a clip."""
    size: int | None = None
    """Height and width in pixels of the model's input; the backbone's own by default."""
    dropout: float = 0.5
    """Dropout in front of the last layer."""

    epochs: int = 30
    """Passes over the training clips."""
    batch_size: int = 32
    """Clips in a batch."""
    accumulate: int = 4
    """Batches whose gradients are averaged before a step."""
    optimizer: Optimizer = "sgd"
    """sgd (with momentum) or adamw."""
    lr: float = 0.02
    """Learning rate; the peak of a one-cycle schedule."""
    lr_mechanism: float = 1.0
    """Learning rate of the mechanisms, as a multiple of lr."""
    lr_backbone: float = 1.0
    """Learning rate of the image network, as a multiple of lr."""
    lr_head: float = 1.0
    """Learning rate of the last layer, as a multiple of lr."""
    momentum: float = 0.9
    """Momentum of sgd."""
    weight_decay: float = 5e-4
    """Weight decay; not applied to biases and norms, unless decay_all says so."""
    decay_all: bool = False
    """Apply weight decay to biases and norms too, as the paper's code did."""
    schedule: Schedule = "step"
    """step (times 0.1 at each milestone), one-cycle (warm up, then anneal to zero), or constant."""
    milestones: tuple[int, ...] = (20,)
    """Epochs at which the step schedule drops the learning rate."""
    warmup: float = 0.3
    """Share of the steps in which a one-cycle schedule rises."""
    clip_gradient: float = 20.0
    """Largest norm of the gradient; 0 for no limit."""
    label_smoothing: float = 0.0
    """Share of the target spread over all classes."""
    class_weights: ClassWeights = "none"
    """What a clip counts for in the loss: none (all the same) or balanced (the less, the more clips its class has)."""
    sampling: Sampling = "segments"
    """Which frames of a clip are taken: segments (one of each of num_frames equal parts), uniform (at equal distances)
    or dense (stride apart)."""
    stride: int = 1
    """Distance in frames of the frames of a dense sample."""
    flip: bool = False
    """Mirror half of the training clips; left/right labels are swapped with their partner or their clips left alone."""
    reverse: bool = False
    """Play half of the training clips backwards whose reversed label (opening, closing) is in the set, under that
    label."""
    color_jitter: float = 0.0
    """Largest relative change of a training clip's brightness, contrast and saturation; 0 for none."""
    rand_augment: int = 0
    """Magnitude of RandAugment on training clips, up to 30; 0 for none."""
    mixup: float = 0.0
    """Alpha of mixup of training clips and their labels; 0 for none."""
    cutmix: float = 0.0
    """Alpha of cutmix of training clips and their labels; 0 for none. With mixup too, one of them is drawn for each
    batch."""
    scales: tuple[float, ...] = (1.0, 0.875, 0.75, 0.66)
    """Sides of the multi-scale training crops, as shares of the short side."""

    decoder: Decoder = "pyav"
    """What decodes videos: pyav, torchcodec (needs FFmpeg's libraries), or auto (torchcodec where it works)."""
    cache: Cache = "none"
    """Keep decoded clips, scaled down: in memory (ram) for the run, or on disk for later runs too."""
    cache_folder: Path | None = None
    """Folder of cache=disk. Default: .m2a-cache beside the data set, or, where that cannot be written, below the user's
    cache directory."""
    workers: int | None = None
    """Processes that decode clips; by default one a core but one, at most 8."""
    device: Device = "auto"
    """Where the model computes: auto, cpu, gpu (cuda or mps, whichever there is), cuda, mps. Of several GPUs the first,
    which CUDA_VISIBLE_DEVICES chooses."""
    precision: Precision = "32"
    """Arithmetic: 32, bf16-mixed, or on a GPU 16-mixed."""
    compile: bool = False
    """Compile the model with torch.compile."""
    channels_last: bool = True
    """Keep features in channels-last memory order."""
    seed: int = 0
    """Seed of weights, crops, sampling and order."""
    skip_bad: bool = False
    """Validate without the clips that cannot be decoded, instead of stopping. Training skips and names them anyway."""
    resume: bool = False
    """Go on from the last checkpoint in the run's folder."""

    def __post_init__(self) -> None:
        for name, value in declared({each.name: getattr(self, each.name) for each in fields(self)}).items():
            setattr(self, name, value)
        for name in ("mechanism_options", "backbone_options"):
            setattr(self, name, parse_options(getattr(self, name), name))
        _validate(self)

    @property
    def run_folder(self) -> Path:
        """`out`, or its default, in which `_` stands for what is no UTF-8 in the name of the data."""
        mechanism = self.mechanism.replace(":", "-").replace("+", "-")
        backbone = self.backbone.replace("/", "-").replace(":", "-")
        data = self.data.resolve()
        name = data.stem if data.suffix.lower() in (".csv", ".txt") else data.name
        name = os.fsencode(name).decode("utf-8", "replace").replace("\N{REPLACEMENT CHARACTER}", "_")
        return self.out or Path("runs") / f"{name}-{backbone}-{mechanism}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `config.yaml` has them."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    def save(self, path: str | Path) -> None:
        """Writes the YAML that `load` and `m2a train --config` read."""
        put(path, yaml.safe_dump(self.to_dict(), sort_keys=False).encode())

    @classmethod
    def load(cls, path: str | Path, **changes: Any) -> TrainConfig:
        """Reads a YAML of options, with `changes` on top.

        Raises NotFoundError, and ConfigError for what is not YAML, an unknown option or a value that cannot work.
        """
        return cls.from_dict({**read_options(path), **changes})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainConfig:
        """Raises ConfigError for an unknown option or a missing one."""
        known = [f.name for f in fields(cls)]
        if unknown := [str(key) for key in values if key not in known]:  # for YAML the key 1 is a number
            raise ConfigError(f"There is no option {', '.join(unknown)}. The options are {', '.join(known)}.")
        if "data" not in values:
            raise ConfigError("The option data is missing: the folder of the data set.")
        return cls(**values)

    def with_changes(self, **changes: Any) -> TrainConfig:
        """A copy with some options changed."""
        return replace(self, **changes)


QUICK: Mapping[str, Any] = {
    "optimizer": "adamw",
    "schedule": "one-cycle",
    "lr": 1e-4,
    "lr_mechanism": 10.0,
    "lr_head": 10.0,
    "weight_decay": 0.05,
    "clip_gradient": 1.0,
    "batch_size": 16,
    "accumulate": 1,
    "epochs": 10,
}
SCRATCH: Mapping[str, Any] = {**QUICK, "lr": 1e-3, "lr_mechanism": 1.0, "lr_head": 1.0, "pretrained": "none"}
RECIPES: Mapping[str, Mapping[str, Any]] = {"paper": {}, "quick": QUICK, "scratch": SCRATCH}
"""Named sets of options: "paper" (the defaults), and two for small data, AdamW with a one-cycle learning rate: "quick"
from image weights, which a higher rate destroys, with ten times that rate for the layers that are new; "scratch" from
random weights, where all layers are."""


def read_options(path: str | Path) -> dict[str, Any]:
    """The mapping in a YAML file of options. Raises NotFoundError, or ConfigError when it is not one."""
    path = Path(path)
    if not path.is_file():
        raise NotFoundError(f"There is no config file {path}.")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} should hold options, one 'name: value' a line; got {type(values).__name__}.")
    return values


def declared(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a file in the types that they are declared with. Raises ConfigError for a value of another one."""
    kinds = get_type_hints(TrainConfig)
    return {name: _as_declared(name, value, kinds[name]) for name, value in values.items()}


def _as_declared(name: str, value: Any, kind: Any) -> Any:
    """What YAML has as text or a list, and numpy as a number, in the type of the field. Raises ConfigError for what is
    of another type."""
    if type(value) not in (bool, int, float) and isinstance(value, Real):
        value = int(value) if isinstance(value, Integral) else float(value)
    if isinstance(kind, UnionType):  # X | None
        return None if value is None else _as_declared(name, value, get_args(kind)[0])
    origin = get_origin(kind) or kind
    if origin is Literal:
        return str(value) if type(value) is int else value  # precision: 32
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_as_declared(name, item, get_args(kind)[0]) for item in value)
    if origin is Path and isinstance(value, str | Path):
        return Path(value)
    if origin is str and isinstance(value, Path):
        return str(value)
    if origin is float and type(value) in (int, str):
        with suppress(ValueError):
            return float(value)  # for YAML 1e-4 is text
    if origin is dict and isinstance(value, dict):
        return {_keyword(key, name): inner for key, inner in value.items()}
    if type(value) is origin:
        return value
    quoted = f" Write it in quotes: {name}: '{value}'." if origin in (Path, str) and type(value) in (int, float) else ""
    raise ConfigError(f"{name} must be {_KINDS[origin]}; got {value!r}.{quoted}")


def without_effect(config: TrainConfig) -> list[str]:
    """Options that were set and change nothing with others as they are, a sentence each."""
    of = {"warmup": ("schedule", "one-cycle"), "milestones": ("schedule", "step"), "momentum": ("optimizer", "sgd")}
    defaults = {one.name: one.default for one in fields(TrainConfig)}

    def changed(name: str) -> bool:
        return bool(getattr(config, name) != defaults[name])

    told = [
        f"{name} has no effect with {by}={getattr(config, by)}"
        for name, (by, needed) in of.items()
        if getattr(config, by) != needed and changed(name)
    ]
    if config.freeze_backbone and changed("lr_backbone"):
        told.append("lr_backbone has no effect with freeze_backbone=true")
    if config.batch_size == 1:
        mixes = [name for name in ("mixup", "cutmix") if getattr(config, name)]
        told += [f"{name} has no effect with batch_size=1: it mixes the clips of a batch" for name in mixes]
    if config.schedule == "step" and 1 < config.epochs <= min(config.milestones, default=math.inf):
        listed = ", ".join(map(str, config.milestones)) or "none"
        told.append(
            f"the learning rate is never lowered: of its milestones ({listed}) none comes before the end of "
            f"{config.epochs} epochs; set --milestones"
        )
    return told


def parse_options(given: Mapping[Any, Any], name: str) -> dict[str, Any]:
    """Options of a mechanism or a backbone as they come from a command line or a file: `-` in names is `_`, and text is
    read as YAML. Raises ConfigError for what is no name or no value; `name` is what the options are called."""
    return {_keyword(key, name): _parsed(value, f"{name}.{key}") for key, value in given.items()}


def _keyword(key: Any, name: str) -> str:
    """The name of a keyword argument, which has no dashes, as flags have. Raises ConfigError for what is no name."""
    if not isinstance(key, str):
        raise ConfigError(f"{name} has names and their values; got {key!r} as a name.")
    return key.replace("-", "_")


def _parsed(value: Any, name: str) -> Any:
    """A value that came as text from the command line, read as YAML: "0.1" is a number, "[32, 64]" a list."""
    if isinstance(value, list | tuple):
        return [_parsed(item, name) for item in value]
    if not isinstance(value, str):
        return value
    if _EXPONENT.fullmatch(value):
        return float(value)  # for YAML 1e-4 is text
    try:
        return yaml.safe_load(value)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{name} is {value!r}, which cannot be read as a word, a number or a list such as [32, 64]. Put text with "
            f"marks in quotes of its own: '\"{value}\"'."
        ) from error


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def _validate(config: TrainConfig) -> None:
    for name, value in vars(config).items():
        if value == math.inf:
            raise ConfigError(f"{name} must be finite; got {value}.")
    at_least = {"epochs": 1, "batch_size": 1, "accumulate": 1, "num_frames": 2, "reduction": 1, "seed": 0, "split": 1}
    at_least |= {"stride": 1, "mixup": 0, "cutmix": 0, "weight_decay": 0, "clip_gradient": 0}
    for name, least in at_least.items():
        if not getattr(config, name) >= least:  # as nan is not
            raise ConfigError(f"{name} must be at least {least}; got {getattr(config, name)}.")
    if not config.pretrained:
        raise ConfigError("pretrained is empty; it must be imagenet, none, or the path of weights or of a model.")
    if config.seed > _LAST_SEED:
        raise ConfigError(f"seed must be at most {_LAST_SEED} (2 ** 32 - 1); got {config.seed}.")
    for name in ("train_clips_per_class", "validation_clips_per_class"):
        if (limit := getattr(config, name)) is not None and limit < 1:
            raise ConfigError(f"{name} must be at least 1; got {limit}. Leave it out to take all clips.")
    if config.workers is not None and config.workers < 0:
        raise ConfigError(f"workers must be at least 0; got {config.workers}. Leave it out to have as many as fit.")
    for name in ("lr", "lr_mechanism", "lr_backbone", "lr_head"):
        if not getattr(config, name) > 0:
            frozen = " To leave the image network as it is, use freeze_backbone." if name == "lr_backbone" else ""
            raise ConfigError(f"{name} must be above 0; got {getattr(config, name)}.{frozen}")
    for name in ("dropout", "warmup", "label_smoothing", "momentum"):
        if not 0 <= getattr(config, name) < 1:
            raise ConfigError(f"{name} must lie in 0 to 1 (1 excluded); got {getattr(config, name)}.")
    choices: dict[str, Any] = {"optimizer": Optimizer, "schedule": Schedule, "precision": Precision}
    choices |= {"format": DataFormat, "consensus": Consensus, "init": Init, "sampling": Sampling, "decoder": Decoder}
    choices |= {"cache": Cache, "device": Device, "class_weights": ClassWeights}
    for name, allowed in choices.items():
        if getattr(config, name) not in get_args(allowed):
            raise ConfigError(f"{name} must be one of {', '.join(get_args(allowed))}; got {getattr(config, name)!r}.")
    if config.out is not None and any("\udc80" <= letter <= "\udcff" for letter in str(config.out)):
        raise ConfigError(f"out must be UTF-8, which TensorBoard's curves need; got {config.out}. Name another folder.")
    if config.stride != 1 and config.sampling != "dense":
        raise ConfigError(
            f"stride is for sampling=dense, and sampling is {config.sampling}, which spreads frames over the whole "
            "clip. Use both, or neither."
        )
    if config.cache_folder is not None and config.cache != "disk":
        raise ConfigError(f"cache_folder is for cache=disk, and cache is {config.cache}. Use both, or neither.")
    if config.schedule == "step" and [0, *config.milestones] != sorted({0, *config.milestones}):
        raise ConfigError(f"milestones must be epochs from 1 in rising order; got {list(config.milestones)}.")
