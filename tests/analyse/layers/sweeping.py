"""A sweep of a small model: its questions, vectors and settings."""

import numpy as np
import torch

from tests.small_models import LAYERS, WIDTH, loaded
from tlsteer import Choice, Example, OneShot, Site, SteeringVector
from tlsteer.analyse._layers.sweeps import sweep_layers

CHOICES = [
    Choice(f"Is it {i}?\n(A) Yes\n(B) No", "AB"[i % 2], "BA"[i % 2], {"letter": "AB"[i % 2]}, prefill="(")
    for i in range(6)
]
EXAMPLES = [Example("What is it?", promote=[" Sure"]), Example("Hello", suppress=[" world"])]
RECIPES = [OneShot(example, 0, steps=2) for example in EXAMPLES]
PROMPTS = ["Hello world", "What is it?", "Sure"]
X = [-1.0, 0.0, 1.0]


def vector(layer=1, seed=0, stage="pre"):
    return SteeringVector(torch.randn(WIDTH, generator=torch.Generator().manual_seed(seed)), Site(layer, stage))


def vectors(seed=0):
    return [vector(layer, seed + layer) for layer in range(LAYERS)]


def sweep(train=None, test=CHOICES, *arguments, call=sweep_layers, **settings):
    settings = {"multipliers": X, "n_random": 1, "progress": False} | settings
    return call(loaded(), vectors() if train is None else train, test, *arguments, **settings)


def planted(model, vector, multiplier):
    """Largest at layer 2 and multiplier 1, with samples that differ."""
    if vector.provenance.method == "random" or not multiplier:
        return np.arange(8.0)
    return np.arange(8.0) - abs(vector.site.layer - 2) - abs(multiplier - 1)


def even(prompts, texts):
    return [len(text) % 2 == 0 for text in texts]
