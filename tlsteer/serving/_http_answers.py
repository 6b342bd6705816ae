"""What was steered for the answer to one request over HTTP, told in the answer itself, as its usage is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from tlsteer.serving._request_writes import RequestWrite
from tlsteer.serving._served_receipts import Told, outcome_of

# What requests say, and what answers say, of steering.
FIELD = "steering"
_EVENT = b"data: "


@dataclass
class Answer:
    """The answer to one request, whose prompts and texts are steered by the same writes.

    Like usage it counts all of them together.
    """

    _writes: list[dict[str, Any]] = field(default_factory=list)
    _is_told: bool = True

    def note(
        self, names: Sequence[str], writes: Sequence[RequestWrite], told: Sequence[Told] | None, n_prompt: int,
        n_new: Sequence[int],
    ) -> None:  # fmt: skip
        """Counts what was done for one prompt.

        Args:
            names: of the vectors of each write.
            writes: what was asked.
            told: what workers say of each.
            n_prompt: tokens of the prompt.
            n_new: how many followed, in each of its texts.

        Raises:
            ModelError, VectorError: see `outcome_of`.
        """
        each = zip(writes, told or [{}] * len(writes), strict=True)
        done = [outcome_of(write, one, n_prompt, n_new, "a prompt") for write, one in each]
        if not self._writes:
            self._writes = [_begun(name, write) for name, write in zip(names, writes, strict=True)]
        for total, one in zip(self._writes, done, strict=True):
            total["prompt_tokens"] += len(one.in_prompt)
            total["completion_tokens"] += len(one.behind)
            total["ratio"] += one.ratio
            total["run"] += one.run
        self._is_told = False

    def whole(self, body: bytes) -> bytes:
        """The body of an answer that is JSON, with what was steered in it."""
        if self._is_told:
            return body
        self._is_told = True
        told = json.dumps([_ended(one) for one in self._writes])
        return body.rstrip().removesuffix(b"}") + f',"{FIELD}":{told}}}'.encode()

    def part(self, body: bytes) -> bytes:
        """An event of a stream; one that ends a text has what was steered up to then in it."""
        if self._is_told or not body.startswith(_EVENT + b"{"):
            return body
        event = body.removeprefix(_EVENT)
        ends = any(one.get("finish_reason") for one in json.loads(event).get("choices", ()))
        return _EVENT + self.whole(event) + b"\n\n" if ends else body


# That of the request that is being answered.
current: ContextVar[Answer] = ContextVar("current")


def _begun(name: str, write: RequestWrite) -> dict[str, Any]:
    counts = {"prompt_tokens": 0, "completion_tokens": 0, "ratio": 0.0, "run": 0.0}
    return {
        "vector": name, "layer": write.site.layer, "stage": write.site.stage,
        "operation": str(write.operation), "multiplier": write.multiplier,
    } | counts  # fmt: skip


def _ended(told: dict[str, Any]) -> dict[str, Any]:
    shown = {name: value for name, value in told.items() if name not in ("ratio", "run")}
    return shown | {"relative_norm": told["ratio"] / told["run"] if told["run"] else None}
