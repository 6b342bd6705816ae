"""Ways to make a steering vector: optimised from examples, estimated from pairs, or found without either."""

from tlsteer.fit.constrained import OutputConstrainedFit, fit_output_constrained
from tlsteer.fit.contrastive import fit_contrastive
from tlsteer.fit.controls import random_vector, shuffled_labels
from tlsteer.fit.noise import Noise
from tlsteer.fit.oneshot import FitsInterrupted, fit_many, fit_oneshot
from tlsteer.fit.recipe import OneShot
from tlsteer.fit.reentrant import ReentrantFit, fit_reentrant
from tlsteer.fit.result import OneShotFit
from tlsteer.fit.unsupervised import UnsupervisedFit, fit_unsupervised

__all__ = [
    "FitsInterrupted",
    "Noise",
    "OneShot",
    "OneShotFit",
    "OutputConstrainedFit",
    "ReentrantFit",
    "UnsupervisedFit",
    "fit_contrastive",
    "fit_many",
    "fit_oneshot",
    "fit_output_constrained",
    "fit_reentrant",
    "fit_unsupervised",
    "random_vector",
    "shuffled_labels",
]
