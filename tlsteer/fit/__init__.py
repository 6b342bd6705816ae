"""Ways to make a steering vector: optimised from examples, estimated from pairs, or found without either."""

from tlsteer.fit.contrastive import fit_contrastive
from tlsteer.fit.controls import random_vector, shuffled_labels
from tlsteer.fit.noise import Noise
from tlsteer.fit.oneshot import FitsInterrupted, fit_many, fit_oneshot
from tlsteer.fit.recipe import OneShot
from tlsteer.fit.result import OneShotFit

__all__ = [
    "FitsInterrupted",
    "Noise",
    "OneShot",
    "OneShotFit",
    "fit_contrastive",
    "fit_many",
    "fit_oneshot",
    "random_vector",
    "shuffled_labels",
]
