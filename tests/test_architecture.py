"""The dependency rule, what must stay unimported, and sizes: read from the source, so that nothing creeps in."""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import m2a

SOURCE = Path(m2a.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))

# Who may import whom. A name stands for the folder or file below m2a and all in it.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "ending": {"errors"},
    "wording": set(),
    "writing": set(),
    "estimate": set(),
    "mechanisms": {"errors"},
    "insertion": {"errors", "mechanisms", "wording"},
    "models": {"errors", "mechanisms", "insertion", "data.preprocessing", "wording", "writing"},
    "training": {"ending", "errors", "mechanisms", "insertion", "models", "data", "wording", "writing"},
    "evaluation": {"errors", "estimate", "mechanisms", "insertion", "models", "data", "export", "writing"},
    "measurement": {"ending", "errors", "mechanisms", "insertion", "models", "data"},
    "export": {"errors", "models", "data.preprocessing", "writing"},
    "explanation": {"errors", "mechanisms", "insertion", "models", "data", "evaluation"},
    "data": {"ending", "errors", "wording", "writing"},
    "reporting": {"errors", "estimate", "wording", "writing"},
    "interop": {"errors", "mechanisms", "insertion", "models", "wording"},
    "recipes": {
        "data", "errors", "estimate", "insertion", "measurement", "mechanisms", "models", "training.config", "writing",
    },
    "workflows": {
        "data", "ending", "errors", "evaluation", "explanation", "export", "insertion", "interop", "measurement",
        "mechanisms", "models", "recipes", "reporting", "training", "wording", "writing",
    },
    "app": {
        "data", "errors", "evaluation", "explanation", "insertion", "interop", "measurement", "mechanisms", "models",
        "recipes", "reporting", "training", "workflows",
    },
}  # fmt: skip
FREE = {"cli", "__init__", "__main__"}  # may import everything


def name_of(path: Path) -> str:
    """`data.video` for src/m2a/data/video.py, `data` for src/m2a/data/__init__.py."""
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> Iterator[str]:
    """Modules of m2a that a file imports, anywhere in it, relative ones too, without the leading `m2a.`."""
    package = ["m2a", *path.relative_to(SOURCE).parts[:-1]]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            whole = [f"{start}.{alias.name}" for alias in node.names]  # `from m2a import data` is an import of data
            found = [name if _is_module(name) else start for name in whole]
        else:
            continue
        yield from (name.removeprefix("m2a.") for name in found if name == "m2a" or name.startswith("m2a."))


def _is_module(name: str) -> bool:
    path = SOURCE.parent.joinpath(*name.split("."))
    return path.is_dir() or path.with_suffix(".py").is_file()


def is_within(name: str, allowed: set[str]) -> bool:
    return any(name == other or name.startswith(f"{other}.") for other in allowed)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_go_one_way(path: Path) -> None:
    layer = name_of(path).split(".")[0]
    if layer in FREE:
        return
    assert layer in ALLOWED, f"a new part of m2a: say in ALLOWED whom {layer!r} may import"
    for imported in imports_of(path):
        assert is_within(imported, ALLOWED[layer] | {layer}), f"{layer} must not import m2a.{imported}"


def test_only_the_command_line_imports_the_command_line() -> None:
    outside = [path for path in FILES if not is_within(name_of(path), {"cli", "__main__"})]
    assert [name_of(path) for path in outside if any(is_within(name, {"cli"}) for name in imports_of(path))] == []


def test_the_rule_is_read_rightly() -> None:
    """The walk sees what is known to be there, absolute, relative and inside functions."""
    assert {"errors", "insertion.insert", "models.classifier"} <= set(imports_of(SOURCE / "models" / "create.py"))
    assert "models.create" in set(imports_of(SOURCE / "models" / "saving.py"))
    assert "errors" in set(imports_of(SOURCE / "data" / "dataset.py"))


@pytest.mark.parametrize(
    "module",
    [
        "m2a", "m2a.app", "m2a.errors", "m2a.training.config", "m2a.data.annotations", "m2a.data.synthetic",
        "m2a.recipes", "m2a.cli", "m2a.cli.paper",
    ],
)  # fmt: skip
def test_light_modules_stay_light(module: str) -> None:
    heavy = "{'torch', 'timm', 'lightning', 'av', 'starlette', 'uvicorn', 'matplotlib'}"
    code = f"import sys, {module}; print(*sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout.split() == []


def test_models_need_neither_the_trainer_nor_decoders_nor_the_page() -> None:
    code = (
        "import sys, m2a; m = m2a.create_model('test_resnet', num_classes=2, size=32); m2a.count_macs(m, size=32); "
        "heavy = {'lightning', 'av', 'starlette', 'uvicorn', 'captum'}; "
        "print(*sorted(heavy & set(sys.modules)), 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=180)
    assert done.stdout.split() == ["True"]


def test_files_are_short() -> None:
    lengths = {name_of(path): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: length for name, length in lengths.items() if length > 400} == {}


def test_functions_are_short() -> None:
    """At most 60 lines from `def` to the end, the docstring not counted."""
    long = {}
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or 0) - node.lineno + 1 - _docstring_lines(node)
                if lines > 60:
                    long[f"{name_of(path)}.{node.name}"] = lines
    assert long == {}


def _docstring_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    first = node.body[0]
    if ast.get_docstring(node) is None:
        return 0
    return (first.end_lineno or 0) - first.lineno + 1


def test_no_state_dict_is_loaded_loosely() -> None:
    """`strict=False` hides what did not load; the library checks keys itself."""
    loose = []
    for path in FILES:
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and "state_dict" in node.func.attr:
                loose += [name_of(path) for k in node.keywords if k.arg == "strict"]
    assert loose == []


def test_shapes_that_are_annotated_are_checked() -> None:
    """By the packages that pytest is told of: checking all would take a fifth of the time of some tests."""
    told = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    options = told["tool"]["pytest"]["ini_options"]["addopts"].split("--jaxtyping-packages=")[1].split(",")
    annotated = {name_of(path) for path in FILES if "from jaxtyping import" in path.read_text(encoding="utf-8")}
    assert len(annotated) > 20
    assert {name for name in annotated if not f"m2a.{name}".startswith(tuple(f"{one}." for one in options))} == set()


def test_every_module_says_what_it_is() -> None:
    assert [name_of(path) for path in FILES if not ast.get_docstring(tree_of(path))] == []


def test_the_oldest_versions_allowed_have_what_is_called() -> None:
    """`Trainer.fit(weights_only=)` came with Lightning 2.6. What developers have is allowed too."""
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    allowed = {one.name: one.specifier for one in map(Requirement, project["dependencies"])}
    assert "2.5.99" not in allowed["lightning"]
    assert "2.6.0" in allowed["lightning"]
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.partition(";")[0].strip().split("==") for line in lines if "==" in line)
    assert {name: pinned[name] for name in allowed if name in pinned and pinned[name] not in allowed[name]} == {}
