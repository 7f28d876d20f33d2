"""Whole runs by name, each a function that returns a config: the rows of the paper's tables. Imports no torch, but for
`costs`, which counts."""

from m2a.recipes.groups import Group as Group
from m2a.recipes.groups import group_results as group_results
from m2a.recipes.paper import changes_of as changes_of
from m2a.recipes.paper import paper_recipe as paper_recipe
from m2a.recipes.results import Result as Result
from m2a.recipes.rows import TABLES as TABLES
from m2a.recipes.rows import PaperRow as PaperRow
from m2a.recipes.rows import find_row as find_row
from m2a.recipes.rows import list_recipes as list_recipes
from m2a.recipes.scales import SCALES as SCALES
from m2a.recipes.scales import Scale as Scale
from m2a.recipes.shared import read_results as read_results

__all__ = [
    "SCALES",
    "TABLES",
    "Group",
    "PaperRow",
    "Result",
    "Scale",
    "changes_of",
    "find_row",
    "group_results",
    "list_recipes",
    "paper_recipe",
    "read_results",
]
