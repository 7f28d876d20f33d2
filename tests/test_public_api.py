"""The names that others rely on: they are there, documented, and take what they are promised to take."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import timm
import torch

import m2a
from m2a import errors

ROOT = Path(__file__).parents[1]
PACKAGES = [
    "m2a", "m2a.app", "m2a.data", "m2a.data.synthetic", "m2a.evaluation", "m2a.explanation", "m2a.insertion",
    "m2a.interop", "m2a.measurement", "m2a.mechanisms", "m2a.models", "m2a.recipes", "m2a.training",
]  # fmt: skip


def test_the_contract() -> None:
    assert {
        "create_mechanism", "create_model", "count_macs", "insert", "interop", "list_mechanisms", "load", "remove",
        "VideoClassifier",
    } <= set(m2a.__all__)  # fmt: skip
    parameters = {
        name: list(inspect.signature(getattr(m2a, name)).parameters)
        for name in ("create_mechanism", "insert", "remove", "create_model", "count_macs", "list_mechanisms")
    }
    assert parameters["list_mechanisms"] == []
    assert parameters["remove"] == ["model"]
    assert parameters["create_mechanism"] == ["spec", "channels", "num_frames", "reduction", "init", "options"]
    assert parameters["insert"][:4] == ["model", "spec", "num_frames", "where"]
    assert {"backbone", "mechanism", "num_classes", "num_frames", "pretrained", "options"} <= set(
        parameters["create_model"]
    )
    assert parameters["count_macs"] == ["model", "num_frames", "size"]
    assert list(inspect.signature(m2a.compare).parameters) == ["runs", "resamples", "seed"]
    assert list(inspect.signature(m2a.interop.convert_state_dict).parameters) == ["state_dict", "source"]


def test_the_first_thing_one_tries() -> None:
    net = timm.create_model("resnet10t", channels=(8, 8, 16, 16))
    report = m2a.insert(net, "m2a", num_frames=3, reduction=2)
    assert len(report.sites) == 4
    model = m2a.VideoClassifier(net, num_classes=5).eval()
    assert model(torch.randn(2, 3, 3, 32, 32)).shape == (2, 5)
    assert m2a.count_macs(model, num_frames=3, size=32) > 0
    m2a.remove(net)
    assert m2a.create_mechanism("tsm", channels=16)(torch.randn(2, 3, 16, 5, 7)).shape == (2, 3, 16, 5, 7)


def test_packages_are_there_after_the_import_alone_and_loaded_on_first_use() -> None:
    """In a process of its own: here others have imported them."""
    code = (
        "import sys, m2a; assert 'torch' not in sys.modules; assert m2a.models.for_inference; "
        "assert m2a.insertion.find_sites"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    shown = {
        name for page in (ROOT / "docs").rglob("*.md") for name in re.findall(r"m2a\.(\w+)", page.read_text("utf-8"))
    }
    packages = {info.name for info in pkgutil.iter_modules(m2a.__path__) if info.ispkg}
    assert shown & packages - {"cli"} <= set(m2a.__all__)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_public_name_is_there_and_documented(package: str) -> None:
    module = importlib.import_module(package)
    assert module.__doc__
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        if inspect.isclass(value) or inspect.isfunction(value) or inspect.ismodule(value):
            assert value.__doc__, f"{package}.{name} has no docstring"
    assert set(module.__all__) <= set(dir(module))
    with pytest.raises(AttributeError, match=r"has no attribute 'no_such_name'"):
        _ = module.no_such_name


def test_every_module_imports() -> None:
    for info in pkgutil.walk_packages(m2a.__path__, "m2a."):
        if not info.name.endswith("__main__"):
            importlib.import_module(info.name)


def test_every_error_is_ours_and_a_builtin() -> None:
    kinds = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, Exception)]
    for kind in kinds:
        assert issubclass(kind, errors.M2AError), kind
        assert kind.__doc__, kind
        if kind is not errors.M2AError:
            assert issubclass(kind, ValueError | TypeError | OSError | ArithmeticError), kind


def test_the_package_is_typed() -> None:
    assert (Path(m2a.__file__).parent / "py.typed").is_file()


def test_torch_has_what_we_ask_of_it() -> None:
    """`_top_saved_tensors_default_hooks` came with 2.8: with what pip may install besides, nothing could be trained."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = dict(requirement.split(">=") for requirement in project["dependencies"])
    assert tuple(map(int, oldest["torch"].split("."))) >= (2, 8)
    assert tuple(map(int, oldest["torchvision"].split("."))) >= (0, 23)
