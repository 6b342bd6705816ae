"""Ways to make a steering vector: one-shot optimisation and contrastive estimators."""

from tlsteer.fit.contrastive import fit_contrastive
from tlsteer.fit.oneshot import OneShotFit, fit_oneshot

__all__ = ["OneShotFit", "fit_contrastive", "fit_oneshot"]
