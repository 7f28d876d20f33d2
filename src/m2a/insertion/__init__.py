"""Where a mechanism goes: finding sites, placing it there, taking it out, the report."""

from m2a.insertion.insert import get_num_frames as get_num_frames
from m2a.insertion.insert import insert as insert
from m2a.insertion.insert import remove as remove
from m2a.insertion.insert import set_num_frames as set_num_frames
from m2a.insertion.report import InsertionReport as InsertionReport
from m2a.insertion.sites import find_sites as find_sites

__all__ = ["InsertionReport", "find_sites", "get_num_frames", "insert", "remove", "set_num_frames"]
