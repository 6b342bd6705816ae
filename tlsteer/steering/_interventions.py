"""A vector with how strongly, where and as what it is applied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer._arguments import checked
from tlsteer._numbers import Number, finite_number
from tlsteer._surface import Surface
from tlsteer.errors import VectorError
from tlsteer.operations import Add, Operation, edited, operation_of
from tlsteer.positions import Positions, check_positions, for_rows
from tlsteer.sites import Place, Site
from tlsteer.vector_sets import VectorSet
from tlsteer.vectors import SteeringVector


@checked
@dataclass(frozen=True, eq=False)
class Intervention:
    """A vector with how strongly, where and as what it is applied.

    Attributes:
        vector: one vector, or one for each row of the batch (all at the same site, of one operation).
        multiplier: scales the edit of the operation (see `operations`): 0 leaves the model as it is, 1 applies
            it as named. One number, or one for each row.
        positions: which tokens (see `positions`).
        operation: instead of the vector's own, as a value or by its name.
        site: where to write instead of the vector's own site.

    Raises:
        VectorError: row vectors of different sites or operations, no vector, or a multiplier that is not a number.
        PositionError: unknown positions.

    >>> twice = Intervention(vector, 2.0, positions="completion")
    >>> both = [twice, Intervention(fitted.vector, -1.0, site=3)]
    >>> generate(model, prompts[0], both, max_new_tokens=8)
    """

    vector: SteeringVector | Sequence[SteeringVector]
    multiplier: Number | Sequence[Number] = 1.0
    positions: Positions = "all"
    operation: Operation | str | None = None
    site: Place | None = None

    def __post_init__(self) -> None:
        check_positions(self.positions)
        if not self.vectors or not all(isinstance(v, SteeringVector) for v in self.vectors):
            raise VectorError(f"an intervention needs a SteeringVector or several, got {self.vector!r}")
        kinds = {(v.site, v.operation, v.d_model) for v in self.vectors}
        if len(kinds) > 1:
            raise VectorError(f"the vectors of one intervention share site, operation and width; got {kinds}")
        made = self.vectors[0].operation
        if self.operation is not None and not (made.is_vector and operation_of(self.operation).is_vector):
            raise VectorError(f"a vector for {made} cannot be applied as {self.operation}")
        many = list(self.multiplier) if isinstance(self.multiplier, Sequence) else [self.multiplier]
        numbers = [number for one in many if (number := finite_number(one)) is not None]
        if not many or len(numbers) < len(many):
            raise VectorError(f"multiplier {self.multiplier!r} is not a finite number, nor a list of them, one per row")
        object.__setattr__(self, "multiplier", numbers if isinstance(self.multiplier, Sequence) else numbers[0])

    @property
    def vectors(self) -> tuple[SteeringVector, ...]:
        """The vectors, one or one per row."""
        return (self.vector,) if isinstance(self.vector, SteeringVector) else tuple(self.vector)

    @property
    def applied(self) -> Operation:
        """The operation in force."""
        return self.vectors[0].operation if self.operation is None else operation_of(self.operation)

    @property
    def multipliers(self) -> tuple[float, ...]:
        """The multipliers, one or one per row."""
        many = self.multiplier if isinstance(self.multiplier, Sequence) else [self.multiplier]
        return tuple(float(one) for one in many)

    @property
    def is_by_row(self) -> bool:
        """Whether every row has a vector and a multiplier of its own."""
        return not isinstance(self.vector, SteeringVector) and isinstance(self.multiplier, Sequence)

    def for_rows(self, rows: Sequence[int], n_rows: int) -> Intervention:
        """The same for some rows of a larger batch, picking their vectors, multipliers and rows of a mask.

        Raises:
            VectorError: vectors or multipliers are neither one nor `n_rows`.
            PositionError: a mask has another number of rows.
        """
        vector, multiplier = self.vector, self.multiplier
        if len(self.vectors) > 1:
            vector = _pick(self.vectors, rows, n_rows, "vectors")
        if isinstance(multiplier, Sequence):
            multiplier = _pick(multiplier, rows, n_rows, "multipliers")
        return replace(self, vector=vector, multiplier=multiplier, positions=for_rows(self.positions, rows, n_rows))

    def write(self, surface: Surface) -> Write:
        """What this amounts to on a model, after checking that the vectors belong to it and fit its precision."""
        for vector in self.vectors:
            vector.check(surface)
        # Kept in float32: projections stay exact on low-precision models.
        stacked, strengths = torch.stack([v.tensor for v in self.vectors]), torch.tensor(self.multipliers)
        self._check_range(stacked, surface)
        first, device = self.vectors[0], surface.device
        return Write(
            site=Site.of(first.site if self.site is None else self.site).resolve(surface.n_layers),
            vector=stacked.to(device),
            multiplier=strengths.to(device),
            positions=self.positions,
            operation=self.applied.with_tensors(lambda _, part: part.to(device)),
        )

    def _check_range(self, vectors: Float[Tensor, "rows d_model"], surface: Surface) -> None:
        """Whether what is written at a residual of 0, and what it is made of, are numbers in the model's precision."""
        zeros, dtype = torch.zeros(len(vectors), 1, vectors.shape[1]), surface.residual_dtype
        change = edited(self.applied, zeros, vectors).double().abs().amax((1, 2))
        strengths = torch.tensor(self.multipliers, dtype=torch.float64).abs()
        by_row = len(strengths) == len(change)
        products = strengths * change if by_row else strengths.max() * change.max()
        parts = [strengths, products, change]
        if not isinstance(self.applied, Add):
            parts.append(vectors.square().sum(1).double())  # projections divide by it
        largest = max(part.max().item() for part in parts)
        if not largest <= min(torch.finfo(dtype).max, torch.finfo(vectors.dtype).max):
            raise VectorError(
                f"multiplier {strengths.max().item():g} of a vector with entries up to {vectors.abs().max().item():g} "
                f"is too much for {str(dtype).removeprefix('torch.')}, in which {surface.name!r} computes"
            )


@dataclass(frozen=True, eq=False)
class Write:
    """An intervention as tensors, which may carry gradients.

    Attributes:
        site: a resolved site.
        vector: one row, or one for each row of the batch.
        multiplier: one number, or one for each row.
        positions: which tokens.
        operation: which edit.

    >>> write = Intervention(vector, 2.0).write(surface)
    >>> write.vector.shape, write.multiplier
    (torch.Size([1, 128]), tensor([2.]))
    """

    site: Site
    vector: Float[Tensor, "rows d_model"]
    multiplier: Float[Tensor, " rows_or_one"]
    positions: Positions = "all"
    operation: Operation = field(default_factory=Add)

    def added(
        self, residual: Float[Tensor, "rows pos d_model"], strength: Float[Tensor, "rows pos"]
    ) -> Float[Tensor, "rows pos d_model"]:
        """What is added to the residual of each token at a strength of its own, on the residual's device."""
        operation, device = self.operation, residual.device
        if self.vector.device != device:  # layers of one model may be on several
            operation = operation.with_tensors(lambda _, part: part.to(device))
        change = edited(operation, residual, self.vector.to(device))
        return strength[..., None].to(device, residual.dtype) * change


Interventions = Intervention | SteeringVector | VectorSet | Sequence[Intervention | SteeringVector | VectorSet]


@checked
def listed(
    interventions: Interventions, multiplier: Number | Sequence[Number] = 1.0, positions: Positions = "all"
) -> list[Intervention]:
    """One or several interventions, bare vectors or sets of vectors, as a list of interventions.

    Args:
        interventions: in the order they are made; those of a set in the order of the stream.
        multiplier: of bare vectors and sets.
        positions: likewise.

    >>> [one.multiplier for one in listed(vector, 2.0)]
    [2.0]
    """
    several = [interventions] if isinstance(interventions, Intervention | SteeringVector | VectorSet) else interventions
    return [
        one if isinstance(one, Intervention) else Intervention(one, multiplier, positions)
        for given in several
        for one in (given.values() if isinstance(given, VectorSet) else [given])
    ]


def _pick(values: Sequence, rows: Sequence[int], n_rows: int, name: str) -> list:
    if len(values) != n_rows:
        raise VectorError(f"{len(values)} {name} were given for {n_rows} rows; give one, or one per row")
    return [values[i] for i in rows]
