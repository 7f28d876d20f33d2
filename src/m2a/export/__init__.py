"""A model as one file that runs without this library: ONNX, or a program of torch.export."""

from m2a.export.export import Exported as Exported
from m2a.export.export import check_exportable as check_exportable
from m2a.export.export import export_model as export_model

__all__ = ["Exported", "check_exportable", "export_model"]
