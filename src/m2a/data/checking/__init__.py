"""Checking a data set before it is trained on: clips that cannot be decoded, copies, classes without clips."""

from .check import check_clips as check_clips
from .facts import ClipFacts as ClipFacts
from .report import CheckReport as CheckReport
from .report import Finding as Finding

__all__ = ["CheckReport", "ClipFacts", "Finding", "check_clips"]
