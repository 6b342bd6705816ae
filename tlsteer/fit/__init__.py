"""Ways to make a steering vector: one-shot optimisation and contrastive estimators."""

from tlsteer.fit.contrastive import fit_contrastive
from tlsteer.fit.noise import Noise
from tlsteer.fit.oneshot import FitsInterrupted, fit_many, fit_oneshot
from tlsteer.fit.recipe import OneShot
from tlsteer.fit.result import OneShotFit

__all__ = ["FitsInterrupted", "Noise", "OneShot", "OneShotFit", "fit_contrastive", "fit_many", "fit_oneshot"]
