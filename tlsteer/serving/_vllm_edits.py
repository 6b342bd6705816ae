"""Every request's own writes in vLLM's continuous batches: which rows of a step they are for, one edit for each site.

A step runs some tokens of many requests in one long row. Which tokens of which request these are is asked of vLLM's
runner at the beginning of every step, whatever came before: a prompt in chunks, a prefix from the cache, a request that
gave way to others and begins anew.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from tlsteer.serving._edit_makers import Alone, Together
from tlsteer.serving._request_writes import ARGUMENT, TAG, RequestWrite, from_text
from tlsteer.sites import Site

_KEPT_RECEIPTS = 100_000
# Those of the step that this thread runs, if any.
_STEPPING: ContextVar[StepEdits | None] = ContextVar("stepping", default=None)


@dataclass(eq=False)
class ActiveWrite:
    """One write of a request under way, and what it has done so far.

    Attributes:
        write: what, where, at which tokens.
        made_by: what makes it, with others or alone.
        row: which of the writes that are made together.
        n_prompt: tokens of the request's prompt.
        prompt: tokens of the prompt that were steered.
        generated: generated tokens that were.
        cached: tokens whose keys and values came from a request that was steered in the same way.
        again: tokens that were steered once more, after the request had given way to others.
    """

    write: RequestWrite
    made_by: Together | Alone
    row: int
    n_prompt: int
    prompt: int = 0
    generated: int = 0
    cached: int = 0
    again: int = 0
    _seen: int = -1

    def tokens(self, first: int, last: int) -> list[int]:
        """Which tokens from `first` up to `last` are steered now; they count as steered."""
        chosen = self.write.chosen
        if self._seen < 0:
            self.cached, self._seen = len(chosen.within(0, first)), first
        found = chosen.within(first, last)
        for token in found:
            if token < self._seen:
                self.again += 1
            elif token < self.n_prompt:
                self.prompt += 1
            else:
                self.generated += 1
        self._seen = max(self._seen, last)
        return found

    def is_settled(self, last: int, is_steered: bool) -> bool:
        """Whether every token from `last` on is generated, and is steered or not as the one before it is."""
        return last >= self.n_prompt and self.write.chosen.is_settled(last, is_steered)

    def another(self) -> None:
        """Counts one more generated token as steered."""
        self.generated += 1
        self._seen += 1

    def receipt(self) -> dict[str, float]:
        """What it did in all; its row is given back."""
        counts = {name: getattr(self, name) for name in ("prompt", "generated", "cached", "again")}
        return counts | {"ratio": self.made_by.drop(self.row)}


class Edit(NamedTuple):
    """One edit of a step: its tokens' rows in the step, and the row of the write of each."""

    made_by: Together | Alone
    tokens: Int[Tensor, " tokens"]
    rows: Int[Tensor, " tokens"]


@dataclass
class Plan:
    """What a step edits, and the steps after it that go on alike.

    In most steps each request runs the token after its last, steered as that was. Asking every request anew would take
    longer than the edits.

    Attributes:
        edits: by layer and stage.
        writes: of requests that run one token each, those that steer it.
        requests: in their order; none where the step after this one has to be planned anew.
        first: the token that each runs in the step after this one.
    """

    edits: dict[tuple[int, str], list[Edit]]
    writes: list[ActiveWrite]
    requests: list[str]
    first: Int[np.ndarray, " requests"]

    def goes_on(self, requests: list[str], first: Int[np.ndarray, " requests"], n_tokens: int) -> bool:
        """Whether it is that of the coming step too, whose tokens count as steered then."""
        if n_tokens != len(requests) or requests != self.requests or (first != self.first).any():
            return False
        self.first = self.first + 1
        for one in self.writes:
            one.another()
        return True


class StepEdits:
    """What edits the stream in vLLM's steps, where the hooks of layers show it.

    Args:
        runner: vLLM's, which knows the requests of a step.
        n_layers: how many layers show it.
        device: where the model runs.
    """

    def __init__(self, runner: Any, n_layers: int, device: torch.device) -> None:
        self._runner, self._last, self._device = runner, n_layers - 1, device
        self._active: dict[str, tuple[str | None, list[ActiveWrite]]] = {}
        self._together: dict[Site, Together] = {}
        self._receipts: dict[str, list[dict[str, float]]] = {}
        self._todo: dict[tuple[int, str], list[Edit]] = {}
        self._done: list[Edit] = []
        self._plan: Plan | None = None

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around a step with requests, and not around runs that vLLM makes to measure itself."""
        token = _STEPPING.set(self)
        try:
            yield
        finally:
            _STEPPING.reset(token)

    def begin(self) -> None:
        """Asks which tokens of which requests the coming pass holds."""
        self._todo, self._done = {}, []
        if _STEPPING.get() is not self:
            return
        batch = self._runner.input_batch
        n = len(batch.req_ids)
        first, starts = batch.num_computed_tokens_cpu[:n], self._runner.query_start_loc.np[: n + 1]
        if self._plan is None or not self._plan.goes_on(batch.req_ids, first, int(starts[-1])):
            self._plan = self._planned(list(batch.req_ids), first, starts)
        self._todo = dict(self._plan.edits)

    def _planned(
        self, requests: list[str], computed: Int[np.ndarray, " requests"], starts: Int[np.ndarray, " ends"]
    ) -> Plan:
        if len(self._active) > 4 * len(requests) + 64:
            self._close()
        # The nth write of a request at a site comes after all writes before it.
        found: dict[tuple[Site, int, Together | Alone], tuple[list[int], list[int]]] = {}
        writing, is_steady = [], int(starts[-1]) == len(requests)
        for number, request in enumerate(requests):
            start, first = int(starts[number]), int(computed[number])
            last = first + int(starts[number + 1]) - start
            orders: dict[Site, int] = {}
            for one in (self._active.get(request) or self._admitted(request))[1]:
                site = one.write.site
                order = orders[site] = orders.get(site, -1) + 1
                if tokens := one.tokens(first, last):
                    places, rows = found.setdefault((site, order, one.made_by), ([], []))
                    places += [start + token - first for token in tokens]
                    rows += [one.row] * len(tokens)
                    writing.append(one)
                is_steady = is_steady and one.is_settled(last, bool(tokens))
        edits: dict[tuple[int, str], list[Edit]] = {}
        for site, order, made_by in sorted(found, key=lambda key: key[1]):
            places, rows = (torch.tensor(many, device=self._device) for many in found[site, order, made_by])
            edits.setdefault((site.layer, site.stage), []).append(Edit(made_by, places, rows))
        return Plan(edits, writing, requests if is_steady else [], computed + 1)

    def end(self) -> None:
        """After a pass: whether all that was to be written was.

        Raises:
            RuntimeError: a layer that is to be steered did not run, or hides its stream.
        """
        if self._todo:
            missed = ", ".join(f"{stage} {layer}" for layer, stage in self._todo)
            raise RuntimeError(f"vLLM's model passed over {missed}, which was to be steered")
        self._done = []

    def edit(self, part: Tensor, rest: Tensor | None, layer: int, stage: str) -> None:
        """Makes all writes at a site, each request's in their order.

        After the last layer, steered tokens whose stream is not finite are marked too.

        Args:
            part: the part of the stream that is added to, in place.
            rest: what makes the stream together with it, if anything.
            layer: where the stream is shown.
            stage: where in the layer.
        """
        part = part.view(-1, part.shape[-1])
        for one in self._todo.pop((layer, stage), ()):
            stream = _stream(part, rest, one.tokens)
            change = one.made_by.change(stream, one.rows).to(part.dtype)
            part.index_add_(0, one.tokens, change)
            # In float32 at least, as `SiteReceipt` has it.
            length = stream.norm(dim=-1).clamp(min=torch.finfo(stream.dtype).tiny)
            ratio = change.norm(dim=-1, dtype=stream.dtype) / length
            one.made_by.ratios.index_add_(0, one.rows, ratio.to(torch.float32))
            self._done.append(one)
        if (layer, stage) == (self._last, "post"):
            for one in self._done:
                is_finite = _stream(part, rest, one.tokens).to(part.dtype).isfinite().all(-1)
                one.made_by.ratios.index_add_(0, one.rows, torch.where(is_finite, 0.0, torch.inf))

    def receipts(self, tags: Sequence[str]) -> list[list[dict[str, float]] | None]:
        """What the writes of finished requests did, each told once; None for a request that is not known."""
        # vLLM's runner learns that a request is finished by the next step, the asker before.
        self._close(set(tags))
        return [self._receipts.pop(tag, None) for tag in tags]

    def _admitted(self, request: str) -> tuple[str | None, list[ActiveWrite]]:
        state = self._runner.requests[request]
        given = (state.sampling_params.extra_args if state.sampling_params else None) or {}
        writes = []
        for one in from_text(given[ARGUMENT]) if given.get(ARGUMENT) else ():
            made_by, row = self._maker(one)
            writes.append(ActiveWrite(one, made_by, row, state.num_prompt_tokens))
        self._active[request] = found = given.get(TAG), writes
        return found

    def _maker(self, write: RequestWrite) -> tuple[Together | Alone, int]:
        if not Together.takes(write):
            return Alone(write, self._device), 0
        together = self._together.setdefault(write.site, Together(self._device))
        return together, together.add(write)

    def _close(self, tags: Set[str] = frozenset()) -> None:
        """Ends what is said to be finished, or is known to be."""
        known = self._runner.requests
        for request in [one for one, (tag, _) in self._active.items() if tag in tags or one not in known]:
            tag, writes = self._active.pop(request)
            receipts = [one.receipt() for one in writes]
            if tag is not None:  # which several texts of one prompt share
                for one, before in zip(receipts, self._receipts.get(tag, ()), strict=False):
                    one |= {name: n + one[name] for name, n in before.items()}
                self._receipts[tag] = receipts
        for tag in list(itertools.islice(self._receipts, max(0, len(self._receipts) - _KEPT_RECEIPTS))):
            del self._receipts[tag]  # nobody asked


def _stream(part: Tensor, rest: Tensor | None, tokens: Tensor) -> Tensor:
    """The residual stream at some tokens, in float32 at least."""
    wide = torch.promote_types(part.dtype, torch.float32)
    stream = part[tokens].to(wide)
    return stream if rest is None else stream + rest.view(part.shape)[tokens]


def edit_stream(part: Tensor, rest: Tensor | None, layer: int, stage: str) -> None:
    """Makes the edits of the step that this thread runs; see `StepEdits.edit`."""
    if (edits := _STEPPING.get()) is not None:
        edits.edit(part, rest, layer, stage)


# The same where a model is compiled: an operation of torch's own is called there as it stands, and not traced.
compiled_edit_stream = torch.library.custom_op(
    "tlsteer::edit_stream",
    edit_stream,
    mutates_args={"part"},
    schema="(Tensor(a!) part, Tensor? rest, int layer, str stage) -> ()",
)
compiled_edit_stream.register_fake(lambda part, rest, layer, stage: None)
