"""What one request is steered by, as a text that goes with it to wherever vLLM runs the model.

A request carries its vectors with it, so nothing has to be told to workers beforehand, and nothing can be forgotten by
one that starts anew. Positions are resolved before: every write knows the tokens it is for.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer._keys import key_of
from tlsteer.errors import VectorError
from tlsteer.operations import Ablate, Add, Affine, Clamp, Operation, operation_from
from tlsteer.positions import OPEN_END, Decode, Prompt, Selection, check_selected, for_rows, resolve
from tlsteer.sites import Site
from tlsteer.steering import Write

# In a request's extra arguments: what steers it, and what its receipt is asked for by.
ARGUMENT, TAG = "tlsteer", "tlsteer_tag"
_KNOWN = (Add, Clamp, Ablate, Affine)


@dataclass(frozen=True)
class Chosen:
    """The tokens of one text that a write is for: a span with a step, or some tokens of the prompt.

    Attributes:
        start: the first, counted from 0.
        stop: behind the last.
        step: from one to the next.
        among: the only ones; all of the span where None.
    """

    start: int
    stop: int
    step: int = 1
    among: tuple[int, ...] | None = None

    @classmethod
    def of(cls, selection: Selection, row: int) -> Chosen:
        """One row of what positions were resolved to."""
        if selection.columns is None:
            return cls(int(selection.start[row]), int(selection.stop[row]), selection.step)
        among = tuple(selection.columns[row].nonzero()[:, 0].tolist())
        return cls(0, max(among, default=-1) + 1, 1, among)

    def within(self, first: int, last: int) -> list[int]:
        """Those from `first` up to, and without, `last`."""
        if self.among is not None:
            return [token for token in self.among if first <= token < last]
        start = max(first, self.start)
        start += (self.start - start) % self.step
        return list(range(start, min(last, self.stop), self.step))

    def is_settled(self, token: int, is_chosen: bool) -> bool:
        """Whether from a token on all are chosen, or else none."""
        if is_chosen:
            return self.among is None and self.step == 1 and self.start <= token and self.stop >= OPEN_END
        return self.stop <= token


@dataclass(frozen=True, eq=False)
class RequestWrite:
    """One write of one request.

    Attributes:
        site: a resolved site.
        vector: the direction.
        multiplier: scales the edit.
        operation: which edit.
        chosen: the tokens it is for.
    """

    site: Site
    vector: Float[Tensor, " d_model"]
    multiplier: float
    operation: Operation
    chosen: Chosen


def writes_of_rows(
    writes: Sequence[Write], rows: Sequence[Sequence[int]], lengths: Sequence[int], decode: Decode, goes_on: bool
) -> list[list[RequestWrite]]:
    """The writes of each of some texts, as it would get them in a batch.

    Args:
        writes: with one row for all texts or one for each.
        rows: ids of each text.
        lengths: how many of these are its prompt.
        decode: ids to text, for positions that depend on it.
        goes_on: whether more tokens follow and are run.

    Raises:
        PositionError: positions that cannot be told in a prompt, or select nothing.
        VectorError: an operation that requests cannot carry.
    """
    found: list[list[RequestWrite]] = [[] for _ in rows]
    for write in writes:
        if not isinstance(write.operation, _KNOWN):
            raise VectorError(
                f"the operation {write.operation.name!r} is not known where vLLM runs the model; "
                f"it takes {', '.join(one.name for one in _KNOWN)}"
            )
        for number, (ids, length) in enumerate(zip(rows, lengths, strict=True)):
            tokens = torch.tensor([list(ids)])
            real = torch.ones_like(tokens, dtype=torch.bool)
            prompt = Prompt(tokens, real, torch.tensor([length]), [f"prompt {number}"])
            positions = for_rows(write.positions, [number], len(rows))
            own = Chosen.of(resolve(positions, prompt, decode), 0)
            some = bool(own.within(0, len(ids))) or (goes_on and own.stop > len(ids))
            check_selected(positions, prompt, torch.tensor([some]))
            row, strength = (min(number, len(many) - 1) for many in (write.vector, write.multiplier))
            multiplier = float(write.multiplier[strength])
            found[number].append(RequestWrite(write.site, write.vector[row], multiplier, write.operation, own))
    return found


def as_text(writes: Sequence[RequestWrite]) -> str:
    """What a request carries; nothing where there are no writes."""
    return json.dumps([_told(one) for one in writes]) if writes else ""


def from_text(text: str) -> list[RequestWrite]:
    """What `as_text` told."""
    return [_heard(**one) for one in json.loads(text)]


def salt_of(text: str) -> str:
    """What keeps the keys and values of differently steered requests apart in vLLM's prefix cache."""
    return key_of(ARGUMENT, text)


def _told(write: RequestWrite) -> dict[str, Any]:
    parts = write.operation.parts()
    chosen = write.chosen
    return {
        "site": [write.site.layer, write.site.stage],
        "vector": _packed(write.vector),
        "multiplier": write.multiplier,
        "operation": write.operation.name,
        "tensors": {name: _packed(part) for name, part in parts.items() if isinstance(part, Tensor)},
        "plain": {name: part for name, part in parts.items() if not isinstance(part, Tensor)},
        "chosen": [chosen.start, chosen.stop, chosen.step, chosen.among],
    }


def _heard(
    site: list[Any], vector: list[Any], multiplier: float, operation: str, tensors: dict, plain: dict, chosen: list[Any]
) -> RequestWrite:
    parts = {name: _unpacked(part) for name, part in tensors.items()} | plain
    start, stop, step, among = chosen
    own = Chosen(start, stop, step, None if among is None else tuple(among))
    return RequestWrite(Site(*site), _unpacked(vector), multiplier, operation_from(operation, parts), own)


def _packed(tensor: Tensor) -> list[Any]:
    array = tensor.detach().cpu().to(torch.float32).contiguous().numpy()
    return [list(array.shape), base64.b64encode(array.astype("<f4").tobytes()).decode("ascii")]


def _unpacked(packed: list[Any]) -> Tensor:
    shape, data = packed
    return torch.from_numpy(np.frombuffer(base64.b64decode(data), dtype="<f4").reshape(shape).astype(np.float32))
