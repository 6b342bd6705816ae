"""What an intervention does to the residual stream.

Every operation is an edit of the residual x, and the multiplier m scales the edit: x becomes x + m * edit(x).
So m = 0 is the unsteered model exactly, m = 1 the operation as named, and values between interpolate.

| operation | edit(x) | at m = 1 |
|---|---|---|
| `Add()` | v | x + v |
| `Clamp(c)` | c v - v v'x / norm(v)^2 | the component along v is replaced by c v |
| `Ablate()` | - v v'x / norm(v)^2 | the component along v is removed |
| `Affine(L, R)` | L'R x + v | x + M x + v with M = L'R of low rank |

(Definitions: arXiv 2502.18862; ablate also arXiv 2406.11717.) Wherever an operation is taken, its name is shorthand:
"add", "clamp" (with constant 1), "ablate".

An operation of one's own is a frozen dataclass (with eq=False) that derives from `Operation`, with a `name` and an
`edit`; docs/extending.md has one. Its fields are saved with a vector, and a file that holds one can be read wherever
its class has been defined.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, TypeVar

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor

from tlsteer._arguments import checked
from tlsteer._numbers import Number, finite_number
from tlsteer.errors import VectorError

Own = TypeVar("Own", bound="Operation")
_KINDS: dict[str, type[Operation]] = {}


class Operation(ABC):
    """How a vector edits the residual stream: a frozen dataclass of numbers and tensors.

    Attributes:
        name: of the operation, in calls and files; no other's.
        is_vector: whether the vector alone says what it does, so that vectors add up, scale, and have random vectors of
            equal norm as their counterparts.
    """

    name: ClassVar[str]
    is_vector: ClassVar[bool] = True

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if not isinstance(name := getattr(cls, "name", None), str) or not name:
            raise VectorError(f"{cls.__name__} needs a name, by which files and calls know it: name = ...")
        known = _KINDS.setdefault(name, cls)
        # A class that is defined again, as in a notebook, takes the place of its earlier self.
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise VectorError(f"the name {name!r} is that of {known.__qualname__}; give {cls.__name__} another")
        _KINDS[name] = cls

    @abstractmethod
    def edit(
        self, residual: Float[Tensor, "batch pos d_model"], along: Float[Tensor, "#batch 1 d_model"]
    ) -> Float[Tensor, "#batch #pos d_model"]:
        """The edit before the multiplier and the mask, in the wider precision of residual and vector.

        Args:
            residual: x, in the wider precision of the two where that is of the model's.
            along: v, one for the whole batch or one for each row of it.
        """

    def check(self, d_model: int) -> None:
        """Raises VectorError where the operation's tensors do not go with a vector of that width."""
        shapes = {name: tuple(part.shape) for name, part in self.parts().items() if isinstance(part, Tensor)}
        if any(shape[-1:] != (d_model,) for shape in shapes.values()):
            raise VectorError(
                f"the tensors of {self.name!r} have a last axis of {d_model}, as the vector; got {shapes}"
            )

    def with_tensors(self: Own, change: Callable[[str, Tensor], Tensor]) -> Own:
        """The same with each of its tensors changed, given its name."""
        changed = {name: change(name, part) for name, part in self.parts().items() if isinstance(part, Tensor)}
        return replace(self, **changed) if changed else self  # pyright: ignore[reportArgumentType] # all are dataclasses

    def parts(self) -> dict[str, Any]:
        """Its fields by name."""
        return {one.name: getattr(self, one.name) for one in fields(self)}  # pyright: ignore[reportArgumentType]

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other) or not isinstance(other, Operation):
            return False
        pairs = zip(self.parts().values(), other.parts().values(), strict=True)
        return all(torch.equal(a, b) if isinstance(a, Tensor) else a == b for a, b in pairs)

    def __hash__(self) -> int:
        return hash((self.name, *(part for part in self.parts().values() if not isinstance(part, Tensor))))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, eq=False)
class Add(Operation):
    """Adds the vector.

    >>> SteeringVector(torch.ones(16), 4).operation == Add()  # what a vector does by default
    True
    """

    name = "add"

    def edit(self, residual: Tensor, along: Tensor) -> Tensor:
        """The vector itself, whatever the residual is."""
        return along


@checked
@dataclass(frozen=True, eq=False)
class Clamp(Operation):
    """Replaces the component of the residual along the vector by `constant` times the vector (arXiv 2502.18862).

    >>> SteeringVector(torch.ones(16), 4, Clamp(0.5)).operation
    Clamp(constant=0.5)
    """

    constant: Number = 1.0
    name = "clamp"

    def __post_init__(self) -> None:
        if finite_number(self.constant) is None:
            raise VectorError(f"the constant of a clamp has to be finite, got {self.constant!r}")
        object.__setattr__(self, "constant", float(self.constant))

    def edit(self, residual: Tensor, along: Tensor) -> Tensor:
        """From the component there is to the one that is wanted."""
        return (float(self.constant) - _component(residual, along)) * along

    def __str__(self) -> str:
        return self.name if self.constant == 1 else f"{self.name} (constant {self.constant:g})"


@dataclass(frozen=True, eq=False)
class Ablate(Operation):
    """Removes the component of the residual along the vector (arXiv 2406.11717).

    >>> SteeringVector(torch.ones(16), 4, Ablate()).operation.name
    'ablate'
    """

    name = "ablate"

    def edit(self, residual: Tensor, along: Tensor) -> Tensor:
        """The component, taken away."""
        return -_component(residual, along) * along


@checked
@dataclass(frozen=True, eq=False)
class Affine(Operation):
    """Adds a map of low rank of the residual, and the vector: x + L'R x + v (arXiv 2502.18862).

    Attributes:
        left: L, shape (rank, d_model), or one such for each row of a batch.
        right: R, likewise.

    >>> SteeringVector(torch.zeros(16), 4, Affine(torch.ones(1, 16), torch.ones(1, 16))).operation.name
    'affine'
    """

    left: Float[Tensor, "*#rows rank d_model"]
    right: Float[Tensor, "*#rows rank d_model"]
    name = "affine"
    is_vector = False

    def check(self, d_model: int) -> None:
        """Raises VectorError where L or R have another width, or not one shape."""
        super().check(d_model)
        if self.left.shape != self.right.shape:
            raise VectorError(
                f"left and right have one rank, got {tuple(self.left.shape)} and {tuple(self.right.shape)}"
            )

    def edit(self, residual: Tensor, along: Tensor) -> Tensor:
        """The map of the residual, and the vector."""
        left, right = (m if m.ndim == 3 else m[None] for m in (self.left, self.right))
        coordinates = einsum(residual, right.to(residual.dtype), "batch pos d, batch rank d -> batch pos rank")
        return einsum(coordinates, left.to(residual.dtype), "batch pos rank, batch rank d -> batch pos d") + along


def _component(residual: Tensor, along: Tensor) -> Float[Tensor, "batch pos 1"]:
    """How much of each residual lies along the vector, in units of the vector."""
    # A vector of norm 0 has no direction: its projection is 0, not NaN.
    squared_norm = along.square().sum(-1, keepdim=True).clamp(min=torch.finfo(along.dtype).tiny)
    return (residual * along).sum(-1, keepdim=True) / squared_norm


def operation_of(operation: Operation | str) -> Operation:
    """An operation as it is, or the one of a name.

    Raises:
        VectorError: an unknown name, or one that needs more than a name.

    >>> operation_of("clamp")
    Clamp(constant=1.0)
    """
    if isinstance(operation, Operation):
        return operation
    if operation not in _KINDS:
        raise VectorError(f"operation {operation!r} is unknown; use one of {', '.join(_KINDS)}, or an Operation")
    try:
        return _KINDS[operation]()
    except TypeError:
        raise VectorError(
            f"{operation!r} takes more than a name; give it as {_KINDS[operation].__name__}(...)"
        ) from None


def operation_from(name: str, parts: dict[str, Any]) -> Operation:
    """The operation of a name, made of its parts.

    Raises:
        VectorError: an unknown name, or parts that are not its own.
    """
    if name not in _KINDS:
        raise VectorError(f"operation {name!r} is unknown here; define its class first (known: {', '.join(_KINDS)})")
    try:
        return _KINDS[name](**parts)
    except TypeError as error:
        raise VectorError(f"{sorted(parts)} do not make the operation {name!r}: {error}") from None


def edited(
    operation: Operation, residual: Float[Tensor, "batch pos d_model"], vector: Float[Tensor, "#batch d_model"]
) -> Float[Tensor, "#batch #pos d_model"]:
    """The edit of an operation in the residual's dtype, computed in the wider precision of residual and vector.

    Projections of a low-precision residual are summed in the vector's own precision.
    """
    along = rearrange(vector, "batch d -> batch 1 d")
    return operation.edit(residual.to(torch.promote_types(residual.dtype, vector.dtype)), along).to(residual.dtype)
