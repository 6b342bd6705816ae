"""Pictures: each function takes a result, draws it on `ax` (or new axes) and returns the Axes; none computes."""

from tlsteer.plot._agreement import plot_agreement
from tlsteer.plot._attack import plot_attacks
from tlsteer.plot._comparison import plot_cosine_against_effect, plot_cosines, plot_effects, plot_norms
from tlsteer.plot._connectivity import plot_paths
from tlsteer.plot._fits import plot_changes, plot_losses
from tlsteer.plot._flips import plot_flips
from tlsteer.plot._generalisation import plot_models, plot_relative_steerability, plot_shift_scatter
from tlsteer.plot._prediction import plot_classifier, plot_predict_control
from tlsteer.plot._rates import plot_rates, plot_rates_by_multiplier
from tlsteer.plot._reading import (
    plot_readout,
    plot_token_effects,
    plot_trace,
    plot_trace_map,
    plot_written,
)
from tlsteer.plot._reliability import plot_propensity, plot_steerability, plot_steerability_by_layer, plot_variance
from tlsteer.plot._side_effects import plot_effect_against_side_effect, plot_side_effects
from tlsteer.plot._sweeps import plot_layer_transfer, plot_sweep, plot_sweep_grid
from tlsteer.plot._task_scores import plot_task_scores
from tlsteer.plot._transfer import plot_transfer
from tlsteer.plot._verbalization import plot_mosaic, plot_rate_by_layer, plot_surprisal, plot_verbalization

__all__ = [
    "plot_agreement",
    "plot_attacks",
    "plot_changes",
    "plot_classifier",
    "plot_cosine_against_effect",
    "plot_cosines",
    "plot_effect_against_side_effect",
    "plot_effects",
    "plot_flips",
    "plot_layer_transfer",
    "plot_losses",
    "plot_models",
    "plot_mosaic",
    "plot_norms",
    "plot_paths",
    "plot_predict_control",
    "plot_propensity",
    "plot_rate_by_layer",
    "plot_rates",
    "plot_rates_by_multiplier",
    "plot_readout",
    "plot_relative_steerability",
    "plot_shift_scatter",
    "plot_side_effects",
    "plot_steerability",
    "plot_steerability_by_layer",
    "plot_surprisal",
    "plot_sweep",
    "plot_sweep_grid",
    "plot_task_scores",
    "plot_token_effects",
    "plot_trace",
    "plot_trace_map",
    "plot_transfer",
    "plot_variance",
    "plot_verbalization",
    "plot_written",
]
