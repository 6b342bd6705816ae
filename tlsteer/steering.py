"""Attach vectors to a model: interventions, the context that applies them, and a receipt of what it did."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from numbers import Real
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from tlsteer.errors import PositionError, VectorError
from tlsteer.operations import OPERATIONS, Operation, edit
from tlsteer.positions import Positions, Prompt, Selection, check_positions, for_rows, resolve
from tlsteer.sites import Place, Site
from tlsteer.surface import Edit, Pass, Surface
from tlsteer.vectors import SteeringVector


@dataclass(frozen=True, eq=False)
class Intervention:
    """A vector with how strongly, where and as what it is applied.

    Attributes:
        vector: one vector, or one for each row of the batch (all at the same site, of one operation).
        multiplier: scales the edit of the operation (see `operations`): 0 leaves the model as it is, 1 applies
            it as named. One number, or one for each row.
        positions: which tokens (see `positions`).
        operation: add, clamp or ablate instead of the vector's own.
        site: where to write instead of the vector's own site.

    Raises:
        VectorError: row vectors of different sites or operations, no vector, or a multiplier that is no number.
        PositionError: unknown positions.
    """

    vector: SteeringVector | Sequence[SteeringVector]
    multiplier: float | Sequence[float] = 1.0
    positions: Positions = "all"
    operation: Operation | None = None
    site: Place | None = None

    def __post_init__(self) -> None:
        check_positions(self.positions)
        if not self.vectors or not all(isinstance(v, SteeringVector) for v in self.vectors):
            raise VectorError(f"an intervention needs a SteeringVector or several, got {self.vector!r}")
        kinds = {(v.site, v.operation, v.constant, v.d_model) for v in self.vectors}
        if len(kinds) > 1:
            raise VectorError(f"the vectors of one intervention share site, operation, constant and width; got {kinds}")
        if self.operation not in (None, *OPERATIONS):
            raise VectorError(f"operation {self.operation!r} is unknown; use one of {', '.join(OPERATIONS)}")
        if "affine" in (self.operation, self.vectors[0].operation):
            if self.operation not in (None, self.vectors[0].operation):
                raise VectorError(f"a vector for {self.vectors[0].operation} cannot be applied as {self.operation}")
            if len(self.vectors) > 1:
                raise VectorError("affine interventions take one map for the whole batch, not one a row")
        many = self.multiplier if isinstance(self.multiplier, Sequence) else [self.multiplier]
        if not many or not all(isinstance(m, Real) and math.isfinite(m) for m in many):
            raise VectorError(f"multiplier {self.multiplier!r} is not a finite number, nor a list of them, one a row")

    @property
    def vectors(self) -> tuple[SteeringVector, ...]:
        """The vectors, one or one a row."""
        return (self.vector,) if isinstance(self.vector, SteeringVector) else tuple(self.vector)

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
        """What this amounts to on a model, after checking that the vectors belong to it."""
        for vector in self.vectors:
            vector.check(surface)
        first, device = self.vectors[0], surface.device
        multipliers = self.multiplier if isinstance(self.multiplier, Sequence) else [self.multiplier]
        strengths = torch.tensor([float(m) for m in multipliers], device=device)
        return Write(
            site=Site.of(first.site if self.site is None else self.site).resolve(surface.n_layers),
            # Kept in float32: projections stay exact on low-precision models.
            vector=torch.stack([v.tensor for v in self.vectors]).to(device),
            multiplier=strengths,
            positions=self.positions,
            operation=self.operation or first.operation,
            constant=first.constant,
            left=None if first.left is None else first.left[None].to(device),
            right=None if first.right is None else first.right[None].to(device),
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
        constant: c of clamp.
        left: L of affine.
        right: R of affine.
    """

    site: Site
    vector: Float[Tensor, "rows d_model"]
    multiplier: Float[Tensor, " rows_or_one"]
    positions: Positions = "all"
    operation: Operation = "add"
    constant: float = 1.0
    left: Float[Tensor, "#rows rank d_model"] | None = None
    right: Float[Tensor, "#rows rank d_model"] | None = None


Interventions = Intervention | SteeringVector | Sequence[Intervention | SteeringVector]


def listed(interventions: Interventions) -> list[Intervention]:
    """One or several interventions or bare vectors, as a list of interventions."""
    several = [interventions] if isinstance(interventions, Intervention | SteeringVector) else interventions
    return [one if isinstance(one, Intervention) else Intervention(one) for one in several]


@dataclass
class SiteReceipt:
    """What one intervention did.

    Attributes:
        site: where it wrote.
        operation: what it did there.
        prefill: tokens steered in each row of every pass that started anew.
        steps: tokens steered, over all rows, in each pass that continued (generated) text.
    """

    site: Site
    operation: str
    prefill: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    _ratios: list[Tensor] = field(default_factory=list, repr=False)

    @property
    def n_positions(self) -> int:
        """Tokens steered in all."""
        return sum(self.prefill) + sum(self.steps)

    @property
    def relative_norm(self) -> float:
        """Mean of |added| / |residual| over the steered tokens; NaN where there are none."""
        return torch.stack(self._ratios).sum().item() / self.n_positions if self.n_positions else float("nan")


@dataclass
class Receipt:
    """What a `steer` context did, an entry for each intervention in order."""

    entries: list[SiteReceipt]
    n_passes: int = 0

    def __repr__(self) -> str:
        if not self.n_passes:
            return "Receipt(no forward pass yet)"
        lines = [
            f"  {e.operation} at {e.site!r}: {sum(e.prefill)} prompt tokens in {len(e.prefill)} rows, "
            f"{sum(e.steps)} in {len(e.steps)} steps, mean |added|/|residual| {e.relative_norm:.3g}"
            for e in self.entries
        ]
        return "\n".join([f"Receipt({self.n_passes} forward passes)", *lines])


@contextmanager
def steer(
    model: Any,
    *interventions: Intervention | SteeringVector,
    multiplier: float | Sequence[float] = 1.0,
    positions: Positions = "all",
    prompt_lengths: Sequence[int] | None = None,
) -> Iterator[Receipt]:
    """Steers every forward pass of `model` inside the context, then leaves it as it was.

    Works under any way of running the model: calling it, `generate`, `run_with_cache`, `run_with_hooks`.
    Several interventions compose in the order given. What continues a pass (tokens fed through its key-value
    cache, or the same tokens with one more) counts as its completion; anything else starts a new prompt.

    Args:
        model: a TransformerBridge or HookedTransformer.
        interventions: interventions, or vectors to apply with `multiplier` and `positions`.
        multiplier: for bare vectors; see `Intervention`.
        positions: for bare vectors; see `Intervention`.
        prompt_lengths: real tokens of the prompt in each row, where one pass holds prompt and completion both;
            the whole pass is the prompt otherwise.

    Yields:
        The receipt, filled as passes run.

    Raises:
        VectorError: a vector of another model, width or weight processing.
        SiteError: a site this model does not have.
        PositionError: positions that select nothing.

    >>> with steer(model, vector, multiplier=2.0) as receipt:
    ...     logits = model("Hello")
    """
    if any(isinstance(one, Intervention) for one in interventions) and not (
        multiplier == 1.0 and isinstance(positions, str) and positions == "all"
    ):
        raise PositionError("multiplier and positions belong inside an Intervention; give them there")
    surface = Surface(model)
    todo = [one if isinstance(one, Intervention) else Intervention(one, multiplier, positions) for one in interventions]
    with attach(surface, [one.write(surface) for one in todo], prompt_lengths) as receipt:
        yield receipt


@runtime_checkable
class Runner(Protocol):
    """What forward passes are run on: a model's `Surface`, or a faster view of it."""

    def watch(self, see: Callable[[Pass], None]) -> AbstractContextManager[None]:
        """Calls `see` before every forward pass."""
        ...

    def edits(self, edits: Sequence[tuple[Site, Edit]]) -> AbstractContextManager[None]:
        """Adds to the residual at sites in every forward pass."""
        ...


@contextmanager
def attach(
    surface: Surface,
    writes: Sequence[Write],
    prompt_lengths: Sequence[int] | None = None,
    runner: Runner | None = None,
) -> Iterator[Receipt]:
    """`steer` for writes given as tensors, on the model or a faster view of it; gradients flow into the vectors."""
    reader = _Reader(surface, prompt_lengths)
    writers = [_Writer(write, surface, reader) for write in writes]
    receipt = Receipt([writer.receipt for writer in writers])

    def see(coming: Pass) -> None:
        reader.see(coming)
        receipt.n_passes += 1
        for writer in writers:
            writer.select()

    host = runner or surface
    with host.watch(see), host.edits([(write.site, one.added) for write, one in zip(writes, writers, strict=True)]):
        yield receipt
    for entry in receipt.entries:
        if receipt.n_passes and not entry.n_positions:
            raise PositionError(f"nothing was steered at {entry.site}: its positions selected no token of any pass")


class _Reader:
    """Follows the passes of a model and says where each token stands in its row."""

    def __init__(self, surface: Surface, prompt_lengths: Sequence[int] | None) -> None:
        self._surface = surface
        self._given = prompt_lengths
        self._seen: Tensor | None = None  # the ids so far, to recognize uncached generation
        self._n_columns = 0
        self.prompt: Prompt | None = None
        self.is_new = True
        self.first_column = 0
        self.index: Tensor = torch.empty(0)
        self.real: Tensor = torch.empty(0)

    def see(self, coming: Pass) -> None:
        total = coming.n_cached + coming.columns
        real = self._real(coming, total)
        self.first_column = coming.n_cached
        # Padding before a token does not count, so indices hold under either padding side.
        self.index = (real.long().cumsum(1) - 1)[:, coming.n_cached :]
        self.real = real[:, coming.n_cached :]
        self.is_new = not self._continues(coming)
        if self.is_new:
            self.prompt = self._start(coming, real)
        self._n_columns = total
        self._seen = coming.tokens if coming.n_cached == 0 else None

    def _real(self, coming: Pass, total: int) -> Bool[Tensor, "batch total"]:
        device = self._surface.device
        if coming.mask is not None:
            return coming.mask[:, :total].to(device)
        if coming.tokens is not None and coming.n_cached == 0 and coming.rows > 1 and self._surface.model.tokenizer:
            # TransformerLens leaves right-padded lists unmasked; its own rule finds their padding.
            from transformer_lens.utilities.tokenize_utils import get_attention_mask

            tokenizer = self._surface.tokenizer
            if tokenizer.pad_token_id is not None:
                return get_attention_mask(
                    tokenizer, coming.tokens, self._surface.model.cfg.default_prepend_bos,
                    padding_side=tokenizer.padding_side,
                ).bool()  # fmt: skip
        return torch.ones(coming.rows, total, dtype=torch.bool, device=device)

    def _continues(self, coming: Pass) -> bool:
        if self.prompt is None or self.prompt.tokens.shape[0] != coming.rows:
            return False
        if coming.n_cached:
            return coming.n_cached == self._n_columns
        if coming.columns != self._n_columns + 1:
            return False
        # Embeddings cannot be compared with the ids so far; one more of them is taken to continue.
        return coming.tokens is None or (self._seen is not None and torch.equal(coming.tokens[:, :-1], self._seen))

    def _start(self, coming: Pass, real: Bool[Tensor, "batch total"]) -> Prompt | None:
        if coming.n_cached:
            return None  # the cache was filled elsewhere: only positions that need no prompt can be told
        tokens = torch.zeros_like(self.index) if coming.tokens is None else coming.tokens
        length = real.sum(1)
        if self._given is not None:
            if len(self._given) != coming.rows:
                raise PositionError(f"{len(self._given)} prompt lengths were given for {coming.rows} rows")
            length = torch.tensor(list(self._given), device=length.device)
        return Prompt(tokens, real, length)


class _Writer:
    """One write at work: its positions in the coming pass, what it adds, its entry in the receipt."""

    def __init__(self, write: Write, surface: Surface, reader: _Reader) -> None:
        self._write = write
        self._surface = surface
        self._reader = reader
        self._selection: Selection | None = None
        self._mask: Tensor = torch.empty(0)
        self.receipt = SiteReceipt(write.site, write.operation)

    def select(self) -> None:
        """Which tokens of the coming pass are steered."""
        reader, positions = self._reader, self._write.positions
        if reader.is_new:
            if reader.prompt is not None:
                self._selection = resolve(positions, reader.prompt, self._surface.decode)
            elif isinstance(positions, str) and positions == "all":
                self._selection = None
            else:
                raise PositionError(
                    f"positions={positions!r} needs the prompt, but this pass continues a key-value cache "
                    "that was filled outside steer(); enter steer() before the prompt is run"
                )
        index, real = reader.index, reader.real
        self._mask = real if self._selection is None else self._selection.mask(index, real, reader.first_column)
        self._check_rows(index.shape[0])
        if reader.is_new and self._selection is not None:
            empty = ~self._mask.any(1) & ~self._selection.may_select_later(index)
            if empty.any():
                row = int(empty.nonzero()[0])
                raise PositionError(
                    f"positions={positions!r} select nothing in row {row}, which has {int(real[row].sum())} tokens"
                )

    def _check_rows(self, rows: int) -> None:
        for name, many in (("vectors", self._write.vector), ("multipliers", self._write.multiplier)):
            if many.shape[0] not in (1, rows):
                raise VectorError(
                    f"{many.shape[0]} {name} were given for a batch of {rows} rows; give one, or one a row"
                )

    def added(self, residual: Float[Tensor, "batch pos d_model"]) -> Float[Tensor, "batch pos d_model"]:
        """What is added to the residual of the coming pass."""
        write = self._write
        change = edit(write.operation, residual, write.vector, write.constant, write.left, write.right)
        strength = self._mask * write.multiplier[:, None]
        added = strength[..., None].to(residual.dtype) * change
        self._record(residual, added)
        return added

    @torch.no_grad()
    def _record(self, residual: Tensor, added: Tensor) -> None:
        entry, per_row = self.receipt, self._mask.sum(1).tolist()
        if self._reader.is_new:
            entry.prefill += per_row
        else:
            entry.steps.append(sum(per_row))
        # In float32: the norm of a float16 residual overflows, one of bfloat16 has two digits.
        change, length = (torch.linalg.vector_norm(one, dim=-1, dtype=torch.float32) for one in (added, residual))
        ratio = change / length.clamp(min=torch.finfo(torch.float32).tiny)
        entry._ratios.append(ratio[self._mask].sum())


def _pick(values: Sequence, rows: Sequence[int], n_rows: int, name: str) -> list:
    if len(values) != n_rows:
        raise VectorError(f"{len(values)} {name} were given for {n_rows} rows; give one, or one a row")
    return [values[i] for i in rows]
