"""What a model sees: where in the frames the evidence for a class lies, and what a mechanism makes of a clip."""

from m2a.explanation.evidence import SiteEvidence as SiteEvidence
from m2a.explanation.explain import Explanation as Explanation
from m2a.explanation.explain import explain as explain
from m2a.explanation.overlay import heat_overlay as heat_overlay
from m2a.explanation.overlay import heat_scale as heat_scale
from m2a.explanation.stages import Stage as Stage
from m2a.explanation.stages import list_stages as list_stages
from m2a.explanation.whole import WholeClip as WholeClip
from m2a.explanation.whole import whole_clip as whole_clip

__all__ = [
    "Explanation",
    "SiteEvidence",
    "Stage",
    "WholeClip",
    "explain",
    "heat_overlay",
    "heat_scale",
    "list_stages",
    "whole_clip",
]
