"""One page about one or several training runs: `report.html`, a single file that needs no network and no scripts."""

from m2a.reporting.analysis import results_table as results_table
from m2a.reporting.comparison import Comparison as Comparison
from m2a.reporting.comparison import compare as compare
from m2a.reporting.comparison import write_comparison as write_comparison
from m2a.reporting.growth import write_growth as write_growth
from m2a.reporting.report import Prediction as Prediction
from m2a.reporting.report import write_report as write_report
from m2a.reporting.runs import Run as Run
from m2a.reporting.seeds import OverSeeds as OverSeeds
from m2a.reporting.seeds import over_seeds as over_seeds
from m2a.reporting.strips import FilmStrip as FilmStrip
from m2a.reporting.timeline import write_timeline as write_timeline

__all__ = [
    "Comparison",
    "FilmStrip",
    "OverSeeds",
    "Prediction",
    "Run",
    "compare",
    "over_seeds",
    "results_table",
    "write_comparison",
    "write_growth",
    "write_report",
    "write_timeline",
]
