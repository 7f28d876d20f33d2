"""What a mechanism computes: a function from a clip of features to a clip of features, (B, T, C, H, W) -> the same."""

from m2a.mechanisms.catalogue import describe_mechanisms as describe_mechanisms
from m2a.mechanisms.catalogue import list_mechanisms as list_mechanisms
from m2a.mechanisms.create import create_mechanism as create_mechanism
from m2a.mechanisms.gate import Gate as Gate
from m2a.mechanisms.identity import IdentityStart as IdentityStart
from m2a.mechanisms.m2a import FrameAttention as FrameAttention
from m2a.mechanisms.m2a import FrameDifference as FrameDifference
from m2a.mechanisms.m2a import MotionAttention as MotionAttention
from m2a.mechanisms.m2a_plus import TimedFrameAttention as TimedFrameAttention
from m2a.mechanisms.patch import PatchAttention as PatchAttention
from m2a.mechanisms.spec import MechanismSpec as MechanismSpec
from m2a.mechanisms.spec import parse_spec as parse_spec
from m2a.mechanisms.symmetry import time_symmetry as time_symmetry
from m2a.mechanisms.tam import TemporalAdaptive as TemporalAdaptive
from m2a.mechanisms.tdn import TemporalDifference as TemporalDifference
from m2a.mechanisms.tea import MotionExcitation as MotionExcitation
from m2a.mechanisms.tsm import TemporalShift as TemporalShift

__all__ = [
    "FrameAttention",
    "FrameDifference",
    "Gate",
    "IdentityStart",
    "MechanismSpec",
    "MotionAttention",
    "MotionExcitation",
    "PatchAttention",
    "TemporalAdaptive",
    "TemporalDifference",
    "TemporalShift",
    "TimedFrameAttention",
    "create_mechanism",
    "describe_mechanisms",
    "list_mechanisms",
    "parse_spec",
    "time_symmetry",
]
