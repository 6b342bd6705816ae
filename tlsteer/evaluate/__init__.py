"""What vectors do: how far they move answers, on which inputs, and at which cost."""

from tlsteer.evaluate.curve_files import load_curve, save_curve
from tlsteer.evaluate.propensity import propensity

__all__ = ["load_curve", "propensity", "save_curve"]
