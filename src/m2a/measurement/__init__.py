"""What a model and its data cost, and which backbones take a mechanism."""

from m2a.measurement.compatibility import Compatibility as Compatibility
from m2a.measurement.compatibility import check_backbone as check_backbone
from m2a.measurement.compatibility import check_backbones as check_backbones
from m2a.measurement.compatibility import list_backbones as list_backbones
from m2a.measurement.data_speed import DataSpeed as DataSpeed
from m2a.measurement.data_speed import measure_data as measure_data
from m2a.measurement.environment import commit as commit
from m2a.measurement.environment import hardware as hardware
from m2a.measurement.environment import versions as versions
from m2a.measurement.macs import count_macs as count_macs
from m2a.measurement.macs import count_parameters as count_parameters

__all__ = [
    "Compatibility",
    "DataSpeed",
    "check_backbone",
    "check_backbones",
    "commit",
    "count_macs",
    "count_parameters",
    "hardware",
    "list_backbones",
    "measure_data",
    "versions",
]
