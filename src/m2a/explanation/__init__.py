"""What a model sees: where in the frames the evidence for a class lies, and what a mechanism makes of a clip."""

from m2a.explanation.evidence import SiteEvidence as SiteEvidence
from m2a.explanation.explain import Explanation as Explanation
from m2a.explanation.explain import explain as explain
from m2a.explanation.overlay import heat_overlay as heat_overlay
from m2a.explanation.stages import Stage as Stage
from m2a.explanation.stages import list_stages as list_stages

__all__ = ["Explanation", "SiteEvidence", "Stage", "explain", "heat_overlay", "list_stages"]
