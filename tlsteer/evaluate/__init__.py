"""What vectors do: how far they move answers, on which inputs, and at which cost."""

from tlsteer.evaluate.curve_files import load_curve, save_curve
from tlsteer.evaluate.diagnostics import diagnose
from tlsteer.evaluate.propensity import propensity
from tlsteer.evaluate.reliability import reliability, reliability_table
from tlsteer.evaluate.report import ReliabilityReport
from tlsteer.evaluate.shifts import shift_correlation, shift_curves, shifts
from tlsteer.evaluate.verdict import Control

__all__ = [
    "Control",
    "ReliabilityReport",
    "diagnose",
    "load_curve",
    "propensity",
    "reliability",
    "reliability_table",
    "save_curve",
    "shift_correlation",
    "shift_curves",
    "shifts",
]
