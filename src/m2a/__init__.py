"""m2a gives any image backbone a sense of motion.

    import timm, torch, m2a

    net = timm.create_model("resnet18")
    print(m2a.insert(net, "m2a", num_frames=8))
    model = m2a.VideoClassifier(net, num_classes=174)
    scores = model(torch.randn(2, 8, 3, 224, 224))  # clips (B, T, 3, H, W) -> (B, 174)

Names are loaded on first use, so that importing m2a is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from m2a import app as app
    from m2a import data as data
    from m2a import errors as errors
    from m2a import evaluation as evaluation
    from m2a import explanation as explanation
    from m2a import export as export
    from m2a import insertion as insertion
    from m2a import interop as interop
    from m2a import measurement as measurement
    from m2a import mechanisms as mechanisms
    from m2a import models as models
    from m2a import recipes as recipes
    from m2a import reporting as reporting
    from m2a import training as training
    from m2a import workflows as workflows
    from m2a.evaluation import evaluate as evaluate
    from m2a.evaluation import predict as predict
    from m2a.explanation import explain as explain
    from m2a.insertion import InsertionReport as InsertionReport
    from m2a.insertion import insert as insert
    from m2a.insertion import remove as remove
    from m2a.insertion import set_num_frames as set_num_frames
    from m2a.measurement import count_macs as count_macs
    from m2a.mechanisms import create_mechanism as create_mechanism
    from m2a.mechanisms import list_mechanisms as list_mechanisms
    from m2a.models import Stream as Stream
    from m2a.models import VideoClassifier as VideoClassifier
    from m2a.models import create_model as create_model
    from m2a.models import inflate as inflate
    from m2a.models import load as load
    from m2a.models import parameter_groups as parameter_groups
    from m2a.reporting import compare as compare

_HOMES = {
    "InsertionReport": "m2a.insertion",
    "Stream": "m2a.models",
    "VideoClassifier": "m2a.models",
    "compare": "m2a.reporting",
    "count_macs": "m2a.measurement",
    "create_mechanism": "m2a.mechanisms",
    "create_model": "m2a.models",
    "evaluate": "m2a.evaluation",
    "explain": "m2a.explanation",
    "inflate": "m2a.models",
    "insert": "m2a.insertion",
    "list_mechanisms": "m2a.mechanisms",
    "load": "m2a.models",
    "parameter_groups": "m2a.models",
    "predict": "m2a.evaluation",
    "remove": "m2a.insertion",
    "set_num_frames": "m2a.insertion",
}
_MODULES = (
    "app",
    "data",
    "errors",
    "evaluation",
    "explanation",
    "export",
    "insertion",
    "interop",
    "measurement",
    "mechanisms",
    "models",
    "recipes",
    "reporting",
    "training",
    "workflows",
)
__all__ = [
    "InsertionReport",
    "Stream",
    "VideoClassifier",
    "app",
    "compare",
    "count_macs",
    "create_mechanism",
    "create_model",
    "data",
    "errors",
    "evaluate",
    "evaluation",
    "explain",
    "explanation",
    "export",
    "inflate",
    "insert",
    "insertion",
    "interop",
    "list_mechanisms",
    "load",
    "measurement",
    "mechanisms",
    "models",
    "parameter_groups",
    "predict",
    "recipes",
    "remove",
    "reporting",
    "set_num_frames",
    "training",
    "workflows",
]


if TYPE_CHECKING:
    __version__: str
else:  # a type checker would take any name for one of ours

    def __getattr__(name: str) -> Any:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        if name in _MODULES:
            return import_module(f"m2a.{name}")
        if name == "__version__":
            from importlib.metadata import version

            return version("m2a")
        raise AttributeError(f"module 'm2a' has no attribute {name!r}; it has {', '.join(__all__)}")


def __dir__() -> list[str]:
    return __all__
