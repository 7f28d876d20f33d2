"""The synthetic set "somethings": clips whose classes come in pairs that only the order of frames tells apart.

Imports no torch, so that worker processes start quickly.
"""

from __future__ import annotations

from .classes import LABELS as LABELS
from .classes import order_blind_ceiling as order_blind_ceiling
from .classes import time_reversal_pairs as time_reversal_pairs
from .render import render_clip as render_clip
from .write import SyntheticSummary as SyntheticSummary
from .write import synthesize as synthesize

__all__ = ["LABELS", "SyntheticSummary", "order_blind_ceiling", "render_clip", "synthesize", "time_reversal_pairs"]
