"""What a model and its data cost in work, time and memory, and which backbones take a mechanism."""

from m2a.measurement.compatibility import Compatibility as Compatibility
from m2a.measurement.compatibility import check_backbone as check_backbone
from m2a.measurement.compatibility import check_backbones as check_backbones
from m2a.measurement.compatibility import list_backbones as list_backbones
from m2a.measurement.data_speed import DataSpeed as DataSpeed
from m2a.measurement.data_speed import measure_data as measure_data
from m2a.measurement.environment import commit as commit
from m2a.measurement.environment import hardware as hardware
from m2a.measurement.environment import versions as versions
from m2a.measurement.growth import GrowthPoint as GrowthPoint
from m2a.measurement.growth import measure_growth as measure_growth
from m2a.measurement.literal import LiteralM2A as LiteralM2A
from m2a.measurement.literal import make_literal as make_literal
from m2a.measurement.macs import count_macs as count_macs
from m2a.measurement.macs import count_parameters as count_parameters
from m2a.measurement.memory import counted_by as counted_by
from m2a.measurement.memory import peak_growth as peak_growth
from m2a.measurement.memory import saved_bytes as saved_bytes
from m2a.measurement.model_speed import LITERAL as LITERAL
from m2a.measurement.model_speed import BenchSettings as BenchSettings
from m2a.measurement.model_speed import SpeedRow as SpeedRow
from m2a.measurement.model_speed import measure_model as measure_model
from m2a.measurement.model_speed import measure_models as measure_models
from m2a.measurement.roofline import Roofline as Roofline
from m2a.measurement.roofline import measure_roofline as measure_roofline
from m2a.measurement.timing import Pair as Pair
from m2a.measurement.timing import interleave as interleave
from m2a.measurement.timing import threads as threads

__all__ = [
    "LITERAL",
    "BenchSettings",
    "Compatibility",
    "DataSpeed",
    "GrowthPoint",
    "LiteralM2A",
    "Pair",
    "Roofline",
    "SpeedRow",
    "check_backbone",
    "check_backbones",
    "commit",
    "count_macs",
    "count_parameters",
    "counted_by",
    "hardware",
    "interleave",
    "list_backbones",
    "make_literal",
    "measure_data",
    "measure_growth",
    "measure_model",
    "measure_models",
    "measure_roofline",
    "peak_growth",
    "saved_bytes",
    "threads",
    "versions",
]
