"""SteeringVector: a direction in the residual stream that knows where it belongs and where it came from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer._arguments import checked
from tlsteer._belonging import check_model, joint
from tlsteer._hub_files import VECTOR_NAME, pull_file, push_files
from tlsteer._model_type import Model
from tlsteer._numbers import Number, as_number
from tlsteer._surface import Surface
from tlsteer._vector_cards import card
from tlsteer._vector_files import Provenance, VectorFile, read_vector_file, vector_bytes, write_vector_file
from tlsteer._vector_hooks import NamedHook, hooks_at
from tlsteer.errors import VectorError
from tlsteer.operations import Operation, operation_from, operation_of
from tlsteer.sites import Place, Site


@checked
@dataclass(frozen=True, eq=False, init=False, repr=False)
class SteeringVector:
    """A direction, the site it belongs to, the operation it was made for, and its provenance.

    Vectors add, subtract and scale; `v @ w` is not defined, use `v.cosine(w)`. The tensor is copied to
    float32 on the CPU and never changes: what `tensor` gives is a copy.

    Args:
        tensor: the direction, shape (d_model,).
        site: where it is written; a layer or a hook name is taken too.
        operation: what applying it does unless the intervention says otherwise (see `operations`).
        provenance: what it was made from.

    Raises:
        VectorError: a wrong shape, a number that is not finite, or matrices without the affine operation.

    >>> v = SteeringVector(torch.randn(16), Site(4, "pre"))
    >>> round((2 * v - v).cosine(v), 3)
    1.0
    """

    # NumPy's numbers leave products with a vector to the vector.
    __array_ufunc__ = None

    _tensor: Float[Tensor, " d_model"]
    site: Site
    _operation: Operation
    provenance: Provenance

    def __init__(
        self, tensor: Tensor, site: Place, operation: Operation | str = "add", provenance: Provenance | None = None
    ) -> None:
        values = {
            "_tensor": _copied("tensor", tensor),
            "site": Site.of(site),
            "_operation": operation_of(operation).with_tensors(_copied),
            "provenance": provenance or Provenance(),
        }
        if values["_tensor"].ndim != 1:
            raise VectorError(f"tensor has shape {tuple(values['_tensor'].shape)} where (d_model,) is needed")
        for name, value in values.items():
            object.__setattr__(self, name, value)
        self._operation.check(self.d_model)

    def __repr__(self) -> str:
        made = ", ".join(part for part in (self.provenance.method, self.provenance.model) if part)
        return f"SteeringVector({self.site!r}, {self.operation}, d_model={self.d_model}, norm={self.norm:.3g}" + (
            f", {made})" if made else ")"
        )

    @property
    def tensor(self) -> Float[Tensor, " d_model"]:
        """The direction, float32 on the CPU."""
        return self._tensor.clone()

    @property
    def operation(self) -> Operation:
        """What applying it does."""
        return self._operation.with_tensors(lambda _, part: part.clone())

    @property
    def d_model(self) -> int:
        """The width of the residual stream it belongs to."""
        return self._tensor.shape[0]

    @property
    def norm(self) -> float:
        """Euclidean length of the tensor."""
        return self._tensor.double().norm().item()  # in float32 the squares of small values vanish

    @property
    def normalized(self) -> SteeringVector:
        """The same direction with norm 1.

        Raises:
            VectorError: the vector is zero.
        """
        if self.norm == 0:
            raise VectorError("a zero vector has no direction to normalize")
        return self._only_vector()._with(tensor=self._tensor.double() / self.norm)

    def at(self, site: Place) -> SteeringVector:
        """The same vector for another site."""
        return self._with(site=site)

    def cosine(self, other: SteeringVector) -> float:
        """Cosine of the angle between two vectors of one width; NaN where one of them is zero."""
        self._check_same_width(other)
        length = self.norm * other.norm
        return (self._tensor.double() @ other._tensor.double()).item() / length if length else float("nan")

    @property
    def key_parts(self) -> tuple[Any, ...]:
        """All that applying it depends on, for `key_of`: where it came from does not matter."""
        return self._tensor, self.site, self._operation

    def __add__(self, other: SteeringVector) -> SteeringVector:
        if not isinstance(other, SteeringVector):
            return NotImplemented
        self._check_same_width(other)
        if self.site != other.site:
            raise VectorError(f"{self.site} and {other.site} are different sites; move one with .at(site) first")
        total = self._only_vector()._tensor + other._only_vector()._tensor
        if self._operation != other._operation:
            raise VectorError(
                f"a vector to {self._operation} and one to {other._operation} have no common sum; "
                "apply both in one steer(...)"
            )
        return self._with(tensor=total, provenance=joint(self.provenance, other.provenance))

    def __sub__(self, other: SteeringVector) -> SteeringVector:
        return self + -other

    def __neg__(self) -> SteeringVector:
        return self * -1.0

    def __mul__(self, factor: Number) -> SteeringVector:
        number = as_number(factor)
        return NotImplemented if number is None else self._only_vector()._with(tensor=self._tensor * number)

    __rmul__ = __mul__

    def __truediv__(self, divisor: Number) -> SteeringVector:
        number = as_number(divisor)
        if number == 0:
            raise VectorError("a vector divided by 0 is none")
        return NotImplemented if number is None else self * (1.0 / number)

    def _with(self, **changes: Any) -> SteeringVector:
        return SteeringVector(**{name.lstrip("_"): value for name, value in vars(self).items()} | changes)

    def _only_vector(self) -> SteeringVector:
        if not self._operation.is_vector:
            raise VectorError(
                f"the operation {self._operation} is more than a vector, so it does not add or scale as one; "
                "use the multiplier when applying it"
            )
        return self

    def _check_same_width(self, other: SteeringVector) -> None:
        if self.d_model != other.d_model:
            raise VectorError(f"vectors of width {self.d_model} and {other.d_model} belong to different models")

    def check(self, surface: Surface) -> Site:
        """The site in this model, after checking that the vector belongs to it.

        Raises:
            VectorError: width, weight processing or fingerprint differ; both sides are named.
            SiteError: the model has no such site.
        """
        check_model(self.provenance, self.d_model, surface)
        return self.site.resolve(surface.n_layers)

    def hooks(self, model: Model, multiplier: Number = 1.0, *, aliases: bool = False) -> list[NamedHook]:
        """What steers all tokens, in TransformerLens's own terms: for `model.hooks` and `run_with_hooks`.

        Args:
            model: a TransformerBridge or HookedTransformer.
            multiplier: how strongly (see `operations`).
            aliases: name hooks as earlier versions of TransformerLens did ("blocks.4.hook_resid_pre"), and not as the
                model itself does ("blocks.4.hook_in" on a TransformerBridge).

        Raises:
            VectorError: a vector of another model, width or weight processing, or a multiplier that is no number.
            SiteError: a site this model does not have, or the mid of a TransformerBridge, which no single hook writes.

        >>> with model.hooks(fwd_hooks=vector.hooks(model, 2.0)):
        ...     logits = model("Hello")
        >>> logits = model.run_with_hooks(tokens.ids, attention_mask=tokens.mask, fwd_hooks=vector.hooks(model))
        """
        surface = Surface(model)
        return hooks_at(surface, self.check(surface), self._operation, self._tensor, multiplier, aliases)

    def push_to_hub(
        self,
        repo: str,
        *,
        results: Mapping[str, object] | None = None,
        license: str | None = None,
        private: bool = False,
        token: str | None = None,
    ) -> str:
        """Puts the vector and a card about it into a model repository on the Hugging Face hub, as one commit.

        Args:
            repo: such as "me/calm-gemma"; made where it is not there yet.
            results: measured ones by what they are, for the card, such as estimates with their intervals.
            license: of the vector, as the hub names licences.
            private: make the repository so that only you see it.
            token: of the hub; that of `hf auth login` or HF_TOKEN by default.

        Returns:
            Where the commit is.

        Raises:
            VectorError: the hub cannot be reached, does not know you, or refuses.

        >>> vector.push_to_hub("me/calm", results={"serves requests": rate(91, 100)})  # doctest: +SKIP
        """
        file = self.as_file()
        files = {VECTOR_NAME: vector_bytes(file), "README.md": card(repo, [file], results or {}, license).encode()}
        return push_files(repo, files, private, token)

    @classmethod
    def from_hub(cls, repo: str, revision: str | None = None, *, token: str | None = None) -> SteeringVector:
        """The vector of a repository on the Hugging Face hub that `push_to_hub` wrote. Nothing in it is executed.

        Args:
            repo: such as "me/calm-gemma".
            revision: a branch, a tag or a commit; the newest by default.
            token: see `push_to_hub`.

        Raises:
            VectorError: no such repository, revision or vector in it, no network, or a damaged file.
        """
        return cls.load(pull_file(repo, VECTOR_NAME, revision, token))

    def save(self, path: str | Path) -> Path:
        """Writes a safetensors file with the metadata inside, whole or not at all."""
        return write_vector_file(path, self.as_file())

    @classmethod
    def load(cls, path: str | Path) -> SteeringVector:
        """Reads what `save` wrote. Nothing in the file is executed.

        Raises:
            VectorError: no such file, a damaged one, one that tlsteer did not write, or one with several vectors.
        """
        return vector_of_file(read_vector_file(path), path, cls)

    def as_file(self) -> VectorFile:
        """What a file of it holds."""
        parts = {"tensor": self._tensor, **self._operation.parts()}
        arrays = {name: part.contiguous().numpy() for name, part in parts.items() if isinstance(part, Tensor)}
        plain = {name: part for name, part in parts.items() if not isinstance(part, Tensor)}
        return VectorFile(arrays, self.site, self._operation.name, plain, self.provenance)


def vector_of_file(
    file: VectorFile, path: str | Path, make: Callable[..., SteeringVector] = SteeringVector
) -> SteeringVector:
    """The vector that a file holds.

    Args:
        file: what it holds.
        path: of it, for errors.
        make: the class.

    Raises:
        VectorError: an operation that is not defined here, or damage.
    """
    try:
        parts = {name: torch.from_numpy(array) for name, array in file.tensors.items()}
        tensor = parts.pop("tensor")
        return make(tensor, file.site, operation_from(file.operation, {**parts, **file.parts}), file.provenance)
    except VectorError as error:
        raise VectorError(f"{str(path)!r} holds a vector that cannot be used here: {error}") from None
    except (TypeError, ValueError) as error:
        raise VectorError(f"the content of {str(path)!r} is damaged ({type(error).__name__}: {error})") from None


def _copied(name: str, value: Tensor) -> Tensor:
    copy = torch.as_tensor(value).detach().to("cpu", torch.float32, copy=True)
    if not copy.isfinite().all():
        raise VectorError(f"{name} holds {int((~copy.isfinite()).sum())} values that are not finite")
    return copy
