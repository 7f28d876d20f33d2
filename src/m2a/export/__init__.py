"""A model as one file that runs without this library: ONNX, or a program of torch.export."""

from m2a.export.export import Exported as Exported
from m2a.export.export import check_exportable as check_exportable
from m2a.export.export import export_model as export_model
from m2a.export.reading import ExportedClassifier as ExportedClassifier
from m2a.export.reading import StreamFile as StreamFile
from m2a.export.reading import is_exported as is_exported
from m2a.export.reading import load_exported as load_exported
from m2a.export.reading import load_stream as load_stream
from m2a.export.streaming import ExportedStream as ExportedStream
from m2a.export.streaming import export_stream as export_stream

__all__ = [
    "Exported",
    "ExportedClassifier",
    "ExportedStream",
    "StreamFile",
    "check_exportable",
    "export_model",
    "export_stream",
    "is_exported",
    "load_exported",
    "load_stream",
]
