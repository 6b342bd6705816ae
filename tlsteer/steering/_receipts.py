"""What a steering context did: where, to how many tokens, and how strongly against the residual."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer.operations import Operation
from tlsteer.sites import Site


@dataclass
class SiteReceipt:
    """What one intervention did.

    Attributes:
        site: where it wrote.
        operation: what it did there.
        prefill: tokens steered in each row of every pass that started anew.
        steps: tokens steered, over all rows, in each pass that continued (generated) text.

    >>> with steer(model, vector, positions=last(1)) as receipt:
    ...     logits = model(tokens.ids, attention_mask=tokens.mask)
    >>> receipt.entries[0].site, receipt.entries[0].n_positions
    (Site(4, 'pre'), 4)
    """

    site: Site
    operation: Operation
    prefill: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    _ratios: list[Tensor] = field(default_factory=list, repr=False)

    def note(self, is_new: bool, per_row: list[int], ratios: Float[Tensor, ""]) -> None:
        """One pass: tokens steered in each row, and the sum of their |added| / |residual|."""
        if is_new:
            self.prefill += per_row
        else:
            self.steps.append(sum(per_row))
        self._ratios.append(ratios)

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
    """What a `steer` context did.

    Attributes:
        entries: one for each intervention, in order.
        n_passes: forward passes.
        n_tokens: tokens, without padding, in each row of every pass that started anew.
        has_bos: whether each of these rows begins with BOS; None where the model was given no ids.
        alone: for each pass that started anew and was not continued, whether it was called on the Hugging Face model
            under a bridge.

    >>> with steer(model, vector) as receipt:
    ...     logits = model(tokens.ids, attention_mask=tokens.mask)
    >>> receipt.n_passes, len(receipt.entries)
    (1, 1)
    """

    entries: list[SiteReceipt]
    n_passes: int = 0
    n_tokens: list[int] = field(default_factory=list)
    has_bos: list[bool | None] = field(default_factory=list)
    alone: list[bool] = field(default_factory=list)

    def __repr__(self) -> str:
        if not self.n_passes:
            return "Receipt(no forward pass yet)"
        lines = [
            f"  {e.operation} at {e.site!r}: {sum(e.prefill)} prompt tokens in {len(e.prefill)} rows, "
            f"{sum(e.steps)} in {len(e.steps)} steps, mean |added|/|residual| {e.relative_norm:.3g}"
            for e in self.entries
        ]
        return "\n".join([f"Receipt({self.n_passes} forward passes, {self._rows()})", *lines])

    def _rows(self) -> str:
        low, high = min(self.n_tokens), max(self.n_tokens)
        length, unseen = str(low) if low == high else f"{low}-{high}", self.has_bos.count(None)
        bos = f"{self.has_bos.count(True)} with BOS" + f", {unseen} given without ids" * bool(unseen)
        return f"{len(self.n_tokens)} rows of {length} tokens, {bos}"


_COLLECTED: ContextVar[list[Receipt] | None] = ContextVar("collected receipts", default=None)


@contextmanager
def collected_receipts() -> Iterator[list[Receipt]]:
    """Gathers the receipts of all that steers inside, such as each batch of `generate`.

    >>> with collected_receipts() as receipts:
    ...     texts = generate(model, prompts, vector, max_new_tokens=4)
    >>> len(receipts)
    1
    """
    found: list[Receipt] = []
    before = _COLLECTED.set(found)
    try:
        yield found
    finally:
        _COLLECTED.reset(before)


def collect(receipt: Receipt) -> None:
    """Adds a receipt to those that are being gathered."""
    if (found := _COLLECTED.get()) is not None:
        found.append(receipt)
