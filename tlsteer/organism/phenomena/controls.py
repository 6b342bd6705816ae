"""Control vectors."""

import torch

from tlsteer import SteeringVector


def random_like(vector: SteeringVector, seed: int) -> SteeringVector:
    """Returns a random vector of the same norm, site and operation."""
    direction = torch.randn(vector.d_model, generator=torch.Generator().manual_seed(seed))
    return SteeringVector(direction * vector.norm / direction.norm(), vector.site, vector.operation, vector.constant)
