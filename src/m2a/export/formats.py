"""The kinds of files that a program of torch.export is written to, and is run from."""

from __future__ import annotations

import io
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar
from zipfile import is_zipfile

import torch
from torch import Tensor
from torch.export import ExportedProgram

from m2a.errors import ConfigError, ExportError, first_line
from m2a.models.weights import check_whole_zip

INPUT, OUTPUT = "clips", "probabilities"
METADATA = "m2a"
"""Key of the metadata, JSON, in an ONNX file; in a program of torch.export it is the extra file `m2a.json`."""
METADATA_FORMAT = 1
"""Of the metadata; it rises when they mean something else to a reader."""
STREAM = "stream"
"""The metadata's `kind` of files of one step; others have none."""
_EXTRA_FILE = f"{METADATA}.json"
_SAFE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
_PROTOBUF_LIMIT = 2**31 - 2**24  # bytes of one file; the graph and the metadata take some of it


@dataclass(frozen=True, kw_only=True)
class Program:
    """What is in a file. Of shapes None is a size that is not fixed."""

    run: Callable[[Sequence[Tensor]], list[Tensor]]
    """What it makes of all its inputs, in their order; `probabilities` first."""
    takes: tuple[int | None, ...]
    """Shape of `clips`; empty where the file takes something else."""
    gives: tuple[int | None, ...]
    """Shape of `probabilities`; empty where the file gives something else, or does not say."""
    metadata: str | None
    """As it was written, JSON; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Ports:
    """What a program takes and gives, by names in their order."""

    inputs: tuple[str, ...] = (INPUT,)
    outputs: tuple[str, ...] = (OUTPUT,)
    any_batch: bool = False
    """Whether the first axis of its one input is of any size."""


class Format(ABC):
    """One kind of file."""

    runs_on: ClassVar[tuple[str, ...]]
    """The packages that write and run it; the last runs it."""

    @abstractmethod
    def write(self, program: ExportedProgram, file: Path, metadata: Mapping[str, Any], ports: Ports) -> None:
        """Raises ExportError for a program that this kind of file cannot hold."""

    @abstractmethod
    def read(self, file: Path) -> Program:
        """What the file does, of whoever runs such files. What that one raises for a damaged file is of many kinds."""

    @property
    def runner(self) -> str:
        """That one and its version."""
        name = self.runs_on[-1]  # which may be of a distribution with another name, such as onnxruntime-gpu
        return f"{name} {str(import_module(name).__version__).partition('+')[0]}"

    def check_installed(self, *, to_run: bool = False) -> None:
        """Raises ConfigError where a package is missing; `to_run`: one that runs such files."""
        for package in self.runs_on[-1:] if to_run else self.runs_on:
            try:
                import_module(package)
            except ImportError as error:
                packages = '"onnx>=1.18" "onnxscript>=0.6.2" "onnxruntime>=1.20"'
                raise ConfigError(
                    f"ONNX needs {error.name or package}, which cannot be imported: pip install {packages}; or export "
                    "to a .pt2 file, which torch runs."
                ) from error


class Onnx(Format):
    runs_on = ("onnx", "onnxscript", "onnxruntime")

    def write(self, program: ExportedProgram, file: Path, metadata: Mapping[str, Any], ports: Ports) -> None:
        size = sum(value.numel() * value.element_size() for value in program.state_dict.values())
        if size > _PROTOBUF_LIMIT:
            raise ExportError(
                f"An ONNX file holds at most 2 GiB, and the weights alone take {size / 2**30:.1f}. Export to a .pt2 "
                "file instead."
            )
        names: dict[str, Any] = {"input_names": list(ports.inputs), "output_names": list(ports.outputs)}
        if ports.any_batch:
            names["dynamic_shapes"] = ({0: "batch"},)
        try:
            made = torch.onnx.export(program, (), dynamo=True, verbose=False, external_data=False, **names)
        except Exception as error:  # the exporter's own, and those of the packages that it is made of
            raise ExportError(f"torch.onnx cannot write this network: {first_line(error)}. Try a .pt2 file.") from error
        assert made is not None
        for node in made.model.graph.all_nodes():  # which hold where in whose code, by folders of this machine
            node.metadata_props.clear()
        made.model.metadata_props[METADATA] = json.dumps(metadata)
        made.save(file, external_data=False)

    def read(self, file: Path) -> Program:
        session = _session(file)
        taken, given = session.get_inputs(), session.get_outputs()
        names = sorted((one.name for one in given), key=OUTPUT.__ne__)  # the others stay in their order

        def run(inputs: Sequence[Tensor]) -> list[Tensor]:
            arrays = {one.name: tensor.numpy() for one, tensor in zip(taken, inputs, strict=True)}
            return [torch.from_numpy(array) for array in session.run(names, arrays)]

        return Program(
            run=run,
            takes=_shape(taken[0].shape) if [one.name for one in taken] == [INPUT] else (),
            gives=next((_shape(one.shape) for one in given if one.name == OUTPUT), ()),
            metadata=session.get_modelmeta().custom_metadata_map.get(METADATA),
        )


class TorchProgram(Format):
    runs_on = ("torch",)

    def write(self, program: ExportedProgram, file: Path, metadata: Mapping[str, Any], ports: Ports) -> None:
        _forget_the_code(program)
        made = io.BytesIO()  # on a full disk torch's own writing ends the process
        torch.export.save(program, made, extra_files={_EXTRA_FILE: json.dumps(metadata)})
        file.write_bytes(made.getbuffer())

    def read(self, file: Path) -> Program:
        program, metadata = _loaded(file)
        values = {node.name: node.meta.get("val") for node in program.graph.nodes}
        taken = [values[name] for name in program.graph_signature.user_inputs]
        given = [values[name] for name in program.graph_signature.user_outputs]
        module = program.module()  # not in a module, with which it would be set to evaluation, and refuses

        def run(inputs: Sequence[Tensor]) -> list[Tensor]:
            made = module(*inputs)
            return [made] if isinstance(made, Tensor) else list(made)

        return Program(
            run=run,
            takes=_shape(taken[0].shape) if len(taken) == 1 else (),
            gives=_shape(given[0].shape) if len(given) == 1 else (),
            metadata=metadata,
        )


def _session(file: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # it knows neither OMP_NUM_THREADS nor torch's setting
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


def _loaded(file: Path) -> tuple[ExportedProgram, str | None]:
    """A program of torch.export and its metadata."""
    if not is_zipfile(file):  # torch prints a traceback before it raises
        raise ValueError("it is no whole zip file")
    check_whole_zip(file)
    extra = {_EXTRA_FILE: ""}
    with _tensors_alone(), file.open("rb") as opened:
        # torch knows a path by its suffix in small letters; it reads an open file into memory
        program = torch.export.load(file if file.suffix == ".pt2" else opened, extra_files=extra)
    return program, extra[_EXTRA_FILE] or None


def _forget_the_code(program: ExportedProgram) -> None:
    """Takes out where in whose code each node comes from, by folders of this machine, and the clips of noise."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)
    program.example_inputs = None


@contextmanager
def _tensors_alone() -> Iterator[None]:
    """Has `torch.load` refuse pickles of anything else: `torch.export.load` would fall back to reading them, which can
    run code. It has other ways to: objects of one's own among the constants, and shapes, which sympy parses."""
    before = os.environ.get(_SAFE)
    os.environ[_SAFE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[_SAFE]
        else:
            os.environ[_SAFE] = before


def _shape(sizes: Sequence[Any]) -> tuple[int | None, ...]:
    """Sizes that are no numbers are symbols."""
    return tuple(size if isinstance(size, int) else None for size in sizes)


FORMATS: dict[str, Format] = {".onnx": Onnx(), ".pt2": TorchProgram()}
