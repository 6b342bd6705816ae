"""Pictures: each function takes a result, draws it on `ax` (or new axes) and returns the Axes; none computes."""

from tlsteer.plot.rates import plot_rates, plot_rates_by_multiplier
from tlsteer.plot.reliability import plot_propensity, plot_steerability, plot_steerability_by_layer, plot_variance

__all__ = [
    "plot_propensity",
    "plot_rates",
    "plot_rates_by_multiplier",
    "plot_steerability",
    "plot_steerability_by_layer",
    "plot_variance",
]
