"""The kinds of files that a program of torch.export is written to, and is run from."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.export import ExportedProgram

from m2a.errors import ConfigError, ExportError, first_line

INPUT, OUTPUT = "clips", "probabilities"
METADATA = "m2a"
"""Key of the metadata, JSON, in an ONNX file; in a program of torch.export it is the extra file `m2a.json`."""
_PROTOBUF_LIMIT = 2**31 - 2**24  # bytes of one file; the graph and the metadata take some of it


class Format(ABC):
    """One kind of file."""

    runs_on: ClassVar[tuple[str, ...]]
    """The packages that write and run it; the last runs it."""

    @abstractmethod
    def write(self, program: ExportedProgram, file: Path, metadata: Mapping[str, Any], *, any_batch: bool) -> None:
        """Raises ExportError for a program that this kind of file cannot hold."""

    @abstractmethod
    def read(self, file: Path) -> Callable[[Tensor], Tensor]:
        """What the file does, of whoever runs such files."""

    @property
    def runner(self) -> str:
        """That one and its version."""
        return f"{self.runs_on[-1]} {version(self.runs_on[-1])}"

    def check_installed(self) -> None:
        """Raises ConfigError where a package is missing."""
        for package in self.runs_on:
            try:
                import_module(package)
            except ImportError as error:
                raise ConfigError(
                    f'ONNX needs {error.name or package}, which cannot be imported: pip install "m2a[onnx]"; or export '
                    "to a .pt2 file, which torch runs."
                ) from error


class Onnx(Format):
    runs_on = ("onnx", "onnxscript", "onnxruntime")

    def write(self, program: ExportedProgram, file: Path, metadata: Mapping[str, Any], *, any_batch: bool) -> None:
        size = sum(value.numel() * value.element_size() for value in program.state_dict.values())
        if size > _PROTOBUF_LIMIT:
            raise ExportError(
                f"An ONNX file holds at most 2 GiB, and the weights alone take {size / 2**30:.1f}. Export to a .pt2 "
                "file instead."
            )
        names: dict[str, Any] = {"input_names": [INPUT], "output_names": [OUTPUT]}
        if any_batch:
            names["dynamic_shapes"] = ({0: "batch"},)
        try:
            made = torch.onnx.export(program, (), dynamo=True, verbose=False, external_data=False, **names)
        except torch.onnx.errors.OnnxExporterError as error:
            raise ExportError(f"torch.onnx cannot write this network: {first_line(error)}. Try a .pt2 file.") from error
        assert made is not None
        made.model.metadata_props[METADATA] = json.dumps(metadata)
        made.save(file, external_data=False)

    def read(self, file: Path) -> Callable[[Tensor], Tensor]:
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda clips: torch.from_numpy(session.run([OUTPUT], {INPUT: clips.numpy()})[0])


class TorchProgram(Format):
    runs_on = ("torch",)

    def write(self, program: ExportedProgram, file: Path, metadata: Mapping[str, Any], *, any_batch: bool) -> None:
        torch.export.save(program, file, extra_files={f"{METADATA}.json": json.dumps(metadata)})

    def read(self, file: Path) -> Callable[[Tensor], Tensor]:
        return torch.export.load(file).module()


FORMATS: dict[str, Format] = {".onnx": Onnx(), ".pt2": TorchProgram()}
