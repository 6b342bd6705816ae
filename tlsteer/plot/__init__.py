"""Pictures: each function takes a result, draws it on `ax` (or new axes) and returns the Axes; none computes."""

from tlsteer.plot.rates import plot_rates, plot_rates_by_multiplier

__all__ = ["plot_rates", "plot_rates_by_multiplier"]
