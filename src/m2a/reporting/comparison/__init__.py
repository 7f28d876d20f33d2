"""Runs side by side: per class and kind of action, with intervals and a test, as tables, sentences and a picture."""

from m2a.reporting.comparison.compare import Comparison as Comparison
from m2a.reporting.comparison.compare import compare as compare
from m2a.reporting.comparison.compare import compare_entries as compare_entries
from m2a.reporting.comparison.kinds import kind_of as kind_of
from m2a.reporting.comparison.picture import write_comparison as write_comparison

__all__ = ["Comparison", "compare", "compare_entries", "kind_of", "write_comparison"]
