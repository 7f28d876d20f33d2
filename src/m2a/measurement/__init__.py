"""What a model costs."""

from m2a.measurement.environment import commit as commit
from m2a.measurement.environment import hardware as hardware
from m2a.measurement.environment import versions as versions
from m2a.measurement.macs import count_macs as count_macs
from m2a.measurement.macs import count_parameters as count_parameters

__all__ = ["commit", "count_macs", "count_parameters", "hardware", "versions"]
