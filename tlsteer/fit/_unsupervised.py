"""Unsupervised steering vectors: whatever changes a model most, without examples (MELBO, Mack and Turner 2024).

For each vector v in turn, of fixed norm and orthogonal to those before it, maximises

    sum over prompts of [sum over tokens of |z(v) - z(0)|^2]^(1/2)

where z is the residual at a target site later than the one v is written at ("Mechanistically Eliciting Latent
Behaviors in Language Models", with its exponents at their defaults p = q = 2). Starts are random; each step of Adam
is followed by removing the components along the earlier vectors and restoring the norm.

No behaviour is asked for, so what a vector does has to be found out by looking at its generations. Random vectors of
the same norm (`random_vector`) are the control: they change the later residual too, but less.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import pandas as pd
import torch
from typing_extensions import Unpack

from tlsteer._arguments import Count, Whole, checked
from tlsteer._keywords import settled
from tlsteer._model_type import Model
from tlsteer._store import Store
from tlsteer._surface import Surface
from tlsteer.data import data_hash
from tlsteer.data._prompt_like import PromptLike
from tlsteer.errors import SiteError, VectorError
from tlsteer.fit._ascents import Ascents
from tlsteer.fit._change import Path as ChangePath
from tlsteer.fit._engine import Engine
from tlsteer.fit._fit import Fit
from tlsteer.fit._provenance import made_on
from tlsteer.lean import boundary
from tlsteer.measure import measured
from tlsteer.positions import Positions, check_positions
from tlsteer.sites import Place, Site
from tlsteer.tokens import encode_prompts
from tlsteer.vectors import SteeringVector


@dataclass(frozen=True, repr=False)
class UnsupervisedFit(Fit):
    """What an unsupervised fit gives; it is taken wherever a list of vectors is.

    Attributes:
        vectors: of one norm, mutually orthogonal, in the order they were found.
        changes: for each vector, the change of the later residual before each step and after the last.
        engine: "fast", or "plain" where the model cannot be cut or the plain path was asked for.

    >>> found = fit_unsupervised(model, prompts[:1], 2, 5, norm=8.0, n_vectors=2, steps=4)
    >>> [round(one.norm, 3) for one in found.vectors]
    [8.0, 8.0]
    """

    vectors: list[SteeringVector]
    changes: list[list[float]]
    engine: str

    _picture = "plot_changes"
    _next = ".vectors are what it found; generate with each to see what it does."
    _gathered = list

    @property
    def headline(self) -> str:
        """How far the vectors change the later residual."""
        ends = [one[-1] for one in self.changes]
        return (
            f"{len(self.vectors)} orthogonal vectors at {self.vectors[0].site!r} of norm {self.vectors[0].norm:.3g}; "
            f"change of the later residual {min(ends):.3g} to {max(ends):.3g}"
        )

    def to_dataframe(self) -> pd.DataFrame:
        """The change before each step: columns vector, step and change."""
        rows = [(vector, step, one) for vector, several in enumerate(self.changes) for step, one in enumerate(several)]
        return pd.DataFrame(rows, columns=["vector", "step", "change"])

    def __repr__(self) -> str:
        return f"UnsupervisedFit({self.headline})"


class AscentSettings(TypedDict, total=False):
    """The settings of `fit_unsupervised` by keyword."""

    steps: Whole
    learning_rate: float
    positions: Positions
    target_positions: Positions
    seed: int


@dataclass(frozen=True, kw_only=True)
class Ascent:
    """How each vector is optimised.

    Attributes:
        steps: of Adam, for each vector.
        learning_rate: the length of a step as a share of the norm.
        positions: which tokens are steered.
        target_positions: at which tokens the change is measured.
        seed: of the starts.
    """

    steps: Whole = 100
    learning_rate: float = 0.05
    positions: Positions = "all"
    target_positions: Positions = "all"
    seed: int = 0


@checked
def fit_unsupervised(
    model: Model,
    prompts: Sequence[PromptLike],
    site: Place,
    target: Place,
    *,
    norm: float,
    n_vectors: Whole = 4,
    batch_size: Count = 32,
    engine: Engine = "auto",
    run_dir: str | Path | Store | None = None,
    progress: bool = True,
    **settings: Unpack[AscentSettings],
) -> UnsupervisedFit:
    """Finds orthogonal vectors of a given norm that change the residual at a later site most.

    Args:
        model: a TransformerBridge or HookedTransformer. Its parameters get no gradients.
        prompts: texts the change is summed over; one is enough.
        site: where vectors are written.
        target: where the change is measured, pre or post, at least a layer later.
        norm: of every vector; too small changes nothing of note, too large breaks the text.
        n_vectors: how many.
        batch_size: prompts run at once.
        engine: "auto" runs only the layers between the two sites where the model can be cut; "plain" is the
            hooked forward pass.
        run_dir: a folder to keep the vectors in, and every few seconds how far they are; a later call goes on from
            there.
        progress: show a bar.
        settings: steps (100) and learning_rate (0.05, as a share of `norm`) of each vector, positions and
            target_positions ("all"), and seed (0) of the starts.

    Raises:
        SiteError: a site this model does not have, or a target that is a mid or does not come later.
        VectorError: numbers out of range, or more vectors than dimensions.
        DataError: no prompts, one too long for the model, or a setting that there is not.
        PositionError: positions that select nothing in a prompt.

    >>> found = fit_unsupervised(model, prompts[:1], 2, 5, norm=8.0, n_vectors=2, steps=4)
    >>> abs(found.vectors[0].cosine(found.vectors[1])) < 1e-3
    True
    """
    surface = Surface(model)
    source, later = (Site.of(place).resolve(surface.n_layers) for place in (site, target))
    surface.check_writable(source)
    surface.read_name(later)
    if later.stage == "mid" or not boundary(later)[0] > boundary(source)[0]:
        raise SiteError(f"the target {later} has to be a pre or post at least a layer after {source}")
    how = settled(Ascent(), settings, AscentSettings)
    _check_numbers(how, norm, n_vectors, surface.d_model)
    check_positions(how.positions)
    check_positions(how.target_positions)
    path = ChangePath(encode_prompts(surface, prompts), source, later, how.positions, how.target_positions, batch_size)
    told = vars(how) | {"norm": norm, "target": later.hook_name, "positions": repr(how.positions),
                        "target_positions": repr(how.target_positions)}  # fmt: skip
    request = Ascents(path, norm, n_vectors, how.steps, how.learning_rate, how.seed, engine, progress)
    (end,) = measured(surface, request, run_dir)
    vectors = []
    for number, vector in enumerate(torch.from_numpy(end["vectors"])):
        made = made_on(surface, "melbo", data_hash(list(prompts)), told | {"number": number})
        vectors.append(SteeringVector(vector, source, provenance=made))
    return UnsupervisedFit(vectors, end["changes"], end["engine"])


def _check_numbers(how: Ascent, norm: float, n_vectors: int, d_model: int) -> None:
    for name, value in (("norm", norm), ("steps", how.steps), ("learning_rate", how.learning_rate)):
        if not 0 < value < math.inf:
            raise VectorError(f"{name}={value} has to be above 0")
    if not 1 <= n_vectors <= d_model:
        raise VectorError(f"n_vectors={n_vectors} has to be 1 to {d_model}: so many can be orthogonal in this model")
