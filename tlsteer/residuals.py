"""Residual streams of texts: collected at any sites, at chosen positions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tlsteer.errors import PositionError
from tlsteer.positions import Positions, Prompt, resolve
from tlsteer.sites import Site
from tlsteer.surface import Surface
from tlsteer.tokens import batches, pad


@torch.no_grad()
def mean_residuals(
    surface: Surface,
    rows: Sequence[Sequence[int]],
    sites: Sequence[Site],
    positions: Positions,
    batch_size: int = 32,
    progress: bool = False,
) -> Float[Tensor, "text site d_model"]:
    """The residual of each text at each site, averaged over the chosen positions; float32 on the CPU.

    Raises:
        PositionError: the positions select nothing in a text.
        SiteError: the model has no such site.
    """
    means = torch.zeros(len(rows), len(sites), surface.d_model)
    for batch, mask, residuals in _passes(surface, rows, sites, positions, batch_size, progress):
        weight = mask.float() / mask.sum(1, keepdim=True)
        for place, residual in enumerate(residuals):
            means[batch, place] = torch.einsum("bpd,bp->bd", residual.float(), weight).cpu()
    return means


@torch.no_grad()
def mean_norms(
    surface: Surface,
    rows: Sequence[Sequence[int]],
    sites: Sequence[Site],
    positions: Positions = "all",
    prompt_lengths: Sequence[int] | None = None,
    batch_size: int = 32,
) -> Float[Tensor, " site"]:
    """The mean Euclidean norm of the residual at each site, over the chosen positions of all texts."""
    total, count = torch.zeros(len(sites)), 0
    for _batch, mask, residuals in _passes(surface, rows, sites, positions, batch_size, False, prompt_lengths):
        count += int(mask.sum())
        total += torch.stack([residual.float().norm(dim=-1)[mask].sum().cpu() for residual in residuals])
    return total / count


def _passes(
    surface: Surface,
    rows: Sequence[Sequence[int]],
    sites: Sequence[Site],
    positions: Positions,
    batch_size: int,
    progress: bool,
    prompt_lengths: Sequence[int] | None = None,
) -> Iterator[tuple[list[int], Bool[Tensor, "batch pos"], list[Float[Tensor, "batch pos d_model"]]]]:
    """For each batch: the numbers of its rows, the mask of chosen positions, the residual at each site."""
    names = [surface.read_name(site) for site in sites]
    deepest = max(site.resolve(surface.n_layers).layer for site in sites)
    lengths = prompt_lengths or [len(row) for row in rows]
    for batch in batches(rows, batch_size, "residuals", progress):
        tokens, real = pad(surface, [rows[i] for i in batch], "right")
        caught: dict[str, Tensor] = {}

        def catch(residual: Tensor, hook: Any, caught: dict[str, Tensor] = caught) -> None:
            caught[hook.name] = residual

        with surface.hooks([(name, catch) for name in dict.fromkeys(names)]):
            surface.run_to(tokens, real, deepest)
        prompt = Prompt(tokens, real, torch.tensor([lengths[i] for i in batch], device=tokens.device))
        yield batch, _chosen(positions, prompt, surface), [caught[name] for name in names]


def _chosen(positions: Positions, prompt: Prompt, surface: Surface) -> Bool[Tensor, "batch pos"]:
    index = prompt.real.long().cumsum(1) - 1
    mask = resolve(positions, prompt, surface.decode).mask(index, prompt.real, 0)
    if not mask.any(1).all():
        raise PositionError(f"positions={positions!r} select nothing in text {int((~mask.any(1)).nonzero()[0])}")
    return mask
