"""The promises run on every model class that the installed TransformerLens has, over real architectures."""

import functools

import pytest
import torch

from tests import small_models
from tlsteer import Site, SteeringVector, load_model

CLASSES = ["bridge", *(["hooked", "hooked-processed"] if small_models.has_hooked_transformer() else [])]


@functools.cache
def build(model_class, kind):
    if model_class == "bridge":
        return load_model(small_models.bridge(kind))
    return load_model(small_models.hooked(kind, processed=model_class == "hooked-processed"))


@pytest.fixture(params=[f"{c}:{k}" for c in CLASSES for k in small_models.SEQUENTIAL])
def model(request):
    """A model with pre, mid and post: GPT-2, Llama, Gemma-2 and Qwen-2 shapes of each class."""
    return build(*request.param.split(":"))


@pytest.fixture(params=CLASSES)
def parallel_model(request):
    """A model whose attention and MLP run in parallel."""
    return build(request.param, "neox")


@pytest.fixture
def vector():
    """Makes vectors; not constant ones, which LayerNorm would remove."""

    def make(site, seed=0, **options):
        tensor = torch.randn(small_models.WIDTH, generator=torch.Generator().manual_seed(seed))
        return SteeringVector(tensor, Site.of(site), **options)

    return make
