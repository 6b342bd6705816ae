"""What becomes of a vector in later layers: how the steered residual differs, and what wrote the difference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import xarray as xr
from einops import einsum, rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor

from tlsteer._arguments import Count, Seed, Whole, checked
from tlsteer._model_type import Model
from tlsteer._numbers import Number, finite_numbers
from tlsteer._surface import Surface
from tlsteer._token_labels import token_labels
from tlsteer._version import __version__
from tlsteer.data._prompt_like import PromptLike
from tlsteer.errors import ModelError, VectorError
from tlsteer.fit._controls import random_controls
from tlsteer.positions import Positions, for_rows
from tlsteer.sites import Site
from tlsteer.steering import Intervention, Write, attach
from tlsteer.tokens import batches, encode_prompts, pad
from tlsteer.vectors import SteeringVector

COMPONENTS = ("edit", "attention", "mlp")
_STREAM = ("layer", "direction", "sample", "position")
_WRITTEN = ("layer", "component", "direction", "sample", "position")

# Relative to the residual; what differs by less is rounding and has no direction.
_ROUNDING = 1e-5


@checked
@torch.no_grad()
def trace(
    model: Model,
    vector: SteeringVector,
    prompts: Sequence[PromptLike],
    multiplier: Number = 1.0,
    *,
    positions: Positions = "all",
    n_random: Whole = 3,
    batch_size: Count = 4,
    progress: bool = True,
    seed: Seed = 0,
) -> xr.Dataset:
    """How the steered residual differs from the unsteered one after each layer, and what wrote the difference.

    The difference after a layer is the edit itself and all that attention and MLPs wrote differently from the
    steered layer on. Random vectors of the same norm are traced alongside it.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vector: added, clamped or ablated as it says.
        prompts: the texts it is traced in.
        multiplier: of the vector.
        positions: the tokens steered.
        n_random: random vectors.
        batch_size: prompts run at once, each under every vector.
        progress: show a bar where there are several batches.
        seed: of the random vectors.

    Returns:
        A dataset over `layer` (from the steered one on), `direction` (vector, random 0, ...), `sample` and
        `position`, which counts from the prompt's end: -1 is its last token, and what a shorter prompt lacks is NaN.
        The coordinate `token` has each token with its spaces and line ends marked, as in "␣the".

        - `relative_norm`: length of the difference after the layer against that of the unsteered residual.
        - `projection`: the difference along the direction's unit vector, in units of the residual.
        - `cosine`: of the difference with the direction; NaN where there is no difference.
        - `written_norm`, `written_projection`: the same of what each `component` (edit, attention, mlp) added.
        - `written_share`: how much of the difference after the last layer a component wrote; 1 over all layers
          and components, negative for what works against it.

    Raises:
        DataError: no prompts, or one too long for the model.
        VectorError: a vector of another model, an affine map, a vector of norm 0, or multiplier 0.
        SiteError: layers that are not made of attention and an MLP.
        ModelError: layers that do not add to the residual what their attention and MLP give.

    >>> traced = trace(model, vector, prompts)
    >>> traced["relative_norm"].sel(direction="vector").mean(["sample", "position"])
    """
    surface = Surface(model)
    site = vector.check(surface)
    (multiplier,) = finite_numbers([multiplier], "multiplier")
    if not multiplier or vector.norm == 0:
        raise VectorError(f"a vector of norm {vector.norm:g} at multiplier {multiplier} changes nothing to be traced")
    rows = encode_prompts(surface, prompts)
    directions = {"vector": vector, **random_controls({"vector": vector}, n_random, seed)}
    units = torch.stack([one.normalized.tensor for one in directions.values()]).to(surface.device)
    longest = max(map(len, rows))
    found = _empty(list(range(site.layer, surface.n_layers)), list(directions), len(rows), longest)
    for batch in batches(rows, batch_size, "trace", progress):
        # Every prompt is a row under each vector, and one more that shows the model as it is.
        runs = [0.0] + [multiplier] * len(directions)
        intervention = Intervention(
            [one for one in (vector, *directions.values()) for _ in batch],
            [strength for strength in runs for _ in batch],
            for_rows(positions, batch * len(runs), len(rows)),
        )
        ids, real = pad(surface, [rows[i] for i in batch] * len(runs), "left")
        names = [f"prompt {i}" for i in batch * len(runs)]
        differences = _differences(surface, intervention.write(surface), ids, real, names, len(runs))
        beyond = ~real[: len(batch)]
        for name, values in differences.measured(units).items():
            found[name].values[..., batch, longest - ids.shape[1] :] = values.masked_fill(beyond, torch.nan).cpu()
    tokens = [[""] * (longest - len(ids)) + token_labels(surface, ids) for ids in rows]
    return found.assign_coords(token=(("sample", "position"), tokens)).assign_attrs(
        model=surface.name, site=str(site), operation=str(vector.operation), norm=vector.norm, multiplier=multiplier,
        positions=repr(positions), seed=seed, version=__version__,
    )  # fmt: skip


@dataclass(frozen=True)
class _Differences:
    """Steered minus unsteered, in float32.

    Attributes:
        written: what the edit, attention and the MLP of each layer added.
        after: of the residual after each layer.
        length: of the unsteered residual after each layer.
    """

    written: Float[Tensor, "layer component direction sample pos d_model"]
    after: Float[Tensor, "layer direction sample pos d_model"]
    length: Float[Tensor, "layer 1 sample pos"]

    def measured(self, units: Float[Tensor, "direction d_model"]) -> dict[str, Tensor]:
        """Each variable of the trace's dataset."""
        norm, final = self.after.norm(dim=-1), self.after[-1]
        projection = einsum(self.after, units, "layer run sample pos d, run d -> layer run sample pos")
        moved = norm > _ROUNDING * self.length
        each = "layer component run sample pos"
        along = einsum(self.written, units, f"{each} d, run d -> {each}")
        share = einsum(self.written, final, f"{each} d, run sample pos d -> {each}") / final.square().sum(-1)
        return {
            "relative_norm": norm / self.length,
            "projection": projection,
            "cosine": (projection / norm).where(moved, torch.nan),
            "written_norm": self.written.norm(dim=-1) / rearrange(self.length, "layer run ... -> layer 1 run ..."),
            "written_projection": along,
            "written_share": share.where(moved[-1], torch.nan),
        }


def _differences(
    surface: Surface,
    write: Write,
    tokens: Int[Tensor, "rows pos"],
    real: Bool[Tensor, "rows pos"],
    prompts: list[str],
    n_runs: int,
) -> _Differences:
    """What differs between the first of several runs of the same prompts, unsteered, and the others."""
    layers = range(write.site.layer, surface.n_layers)
    attention, mlp = ([surface.part_name(layer, part) for layer in layers] for part in ("attn", "mlp"))
    after, edited = [surface.read_name(Site(layer, "post")) for layer in layers], surface.read_name(write.site)
    caught: dict[str, Tensor] = {}

    def catch(activation: Tensor, hook: Any) -> None:
        caught[hook.name] = activation

    # Hooks run in the order they are added: attention's output is seen before a mid edit joins it there.
    with (
        surface.hooks([(name, catch) for name in (*attention, *mlp)]),
        attach(surface, [write], names=prompts, goes_on=False),
        surface.hooks([(name, catch) for name in dict.fromkeys([edited, *after])]),
    ):
        surface.run_to(tokens, real, surface.n_layers - 1)

    def by_run(names: list[str]) -> Float[Tensor, "layer run sample pos d_model"]:
        seen = [caught[name].float() for name in names]
        return rearrange(seen, "layer (run sample) pos d -> layer run sample pos d", run=n_runs)

    def difference(names: list[str]) -> Float[Tensor, "layer direction sample pos d_model"]:
        runs = by_run(names)
        return runs[:, 1:] - runs[:, :1]

    total = difference(after)
    written = torch.stack([torch.zeros_like(total), difference(attention), difference(mlp)], 1)
    written[0, 0] = difference([edited])[0]
    length = by_run(after)[:, :1].norm(dim=-1)
    missed = (written.sum(1).cumsum(0) - total).norm(dim=-1)
    rounding = 100 * torch.finfo(caught[edited].dtype).eps
    if (missed > 0.05 * total.norm(dim=-1) + rounding * length)[:, :, real[: length.shape[2]]].any():
        raise ModelError(
            f"{surface.name!r} does not add to the residual stream what its attention and MLPs give as it is, "
            "so the difference cannot be split between them"
        )
    return _Differences(written, total, length)


def _empty(layers: list[int], directions: list[str], n_samples: int, longest: int) -> xr.Dataset:
    labels = {"layer": layers, "component": list(COMPONENTS), "direction": directions}
    labels |= {"sample": list(range(n_samples)), "position": list(range(-longest, 0))}
    dims = dict.fromkeys(("relative_norm", "projection", "cosine"), _STREAM)
    dims |= dict.fromkeys(("written_norm", "written_projection", "written_share"), _WRITTEN)
    variables = {}
    for name, over in dims.items():
        values = np.full([len(labels[dim]) for dim in over], np.nan, np.float32)
        variables[name] = over, values, {"units": "residual units" if "projection" in name else "1"}
    return xr.Dataset(variables, labels)
