"""Whether vLLM gives what TransformerLens gives, unsteered and steered at every stage, on one short text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import get_args

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer._surface import Surface
from tlsteer.errors import ModelError, SiteError
from tlsteer.scoring import last_logits
from tlsteer.sites import Site, Stage
from tlsteer.steering import Intervention, Write, collected_receipts
from tlsteer.vectors import SteeringVector

# Gives the log-probabilities of the vocabulary after ids.
Told = Callable[[Sequence[int], Sequence[Write]], Sequence[float]]

_LENGTH = 8
# Largest difference, as a share of how much log-probabilities vary, or of what steering changes in them.
_TOLERANCE, _IN_HALF_PRECISION = 0.01, 0.2
# Length of the vector that is tried, as a share of the residuals' own.
_STRENGTH = 0.5


def refused_stages(surface: Surface, told: Told) -> dict[str, str]:
    """The stages at which vLLM's model is not steered as TransformerLens's, with the reason.

    Args:
        surface: the model in TransformerLens.
        told: what vLLM's model gives.

    Raises:
        ModelError: vLLM's model is another one before anything is steered.
    """
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(surface.model.cfg.d_vocab, (_LENGTH,), generator=generator).tolist()
    direction = torch.randn(surface.d_model, generator=generator)
    wide = surface.residual_dtype in (torch.float32, torch.float64)
    tolerance = _TOLERANCE if wide else _IN_HALF_PRECISION
    plain = _expected(surface, ids)
    off = (torch.tensor(told(ids, ())) - plain).norm() / (plain - plain.mean()).norm()
    if not off <= tolerance:
        raise ModelError(
            f"vLLM's log-probabilities of {surface.name!r} differ from TransformerLens's by {off:.1%} of their spread "
            "before anything is steered, so what was found on the one does not hold for the other"
        )
    refused = {}
    for stage in get_args(Stage):
        try:
            surface.check_writable(site := Site(surface.n_layers // 2, stage))
        except SiteError as error:
            refused[stage] = str(error)
            continue
        one = Intervention(SteeringVector(direction, site))
        with collected_receipts() as receipts:
            _expected(surface, ids, one)
        one = Intervention(one.vector, _STRENGTH / receipts[0].entries[0].relative_norm)
        steered = _expected(surface, ids, one)
        off = (torch.tensor(told(ids, [one.write(surface)])) - steered).norm() / (steered - plain).norm()
        if not off <= tolerance:
            refused[stage] = f"what a vector changes there differs by {off:.1%} from what it does in TransformerLens"
    return refused


def _expected(surface: Surface, ids: list[int], *interventions: Intervention) -> Float[Tensor, " d_vocab"]:
    ((_, logits),) = last_logits(surface, [ids], list(interventions))
    return logits[0].log_softmax(-1).cpu()
