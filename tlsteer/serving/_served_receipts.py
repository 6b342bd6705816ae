"""What vLLM's workers say they did, as the receipts that steering gives everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch

from tlsteer.errors import ModelError, VectorError
from tlsteer.serving._request_writes import RequestWrite
from tlsteer.steering import Receipt, SiteReceipt, Write

# What one write of one request did: tokens steered, and the sum of |added| / |residual| over them.
Told = Mapping[str, float]


def receipt_of(
    writes: Sequence[Write],
    each: Sequence[Sequence[RequestWrite]],
    rows: Sequence[Sequence[int]],
    n_new: Sequence[int],
    told: Sequence[Sequence[Told] | None],
    bos: int | None,
) -> Receipt:
    """The receipt of some requests, after checking that every token was steered that had to be.

    Tokens whose keys and values came from the cache were steered in the request that filled it, and count. The last new
    token of a request is not run, and is not steered.

    Args:
        writes: of all requests.
        each: the same for each request, with its own tokens.
        rows: ids of each prompt.
        n_new: how many followed each.
        told: what workers say, by request and write.
        bos: the id of BOS.

    Raises:
        ModelError, VectorError: see `outcome_of`.
    """
    entries, n_prompt = [], [len(ids) for ids in rows]
    for order, write in enumerate(writes):
        entry = SiteReceipt(write.site, write.operation)
        later = [0] * max(n_new)
        for number, request in enumerate(each):
            one = (told[number] or [{}] * len(writes))[order]
            done = outcome_of(request[order], one, n_prompt[number], [n_new[number]], f"prompt {number}")
            for token in done.behind:
                later[token - n_prompt[number]] += 1
            mean = done.ratio / done.run if done.run else 0.0
            entry.note(True, [len(done.in_prompt)], torch.tensor(mean * (len(done.in_prompt) + len(done.behind))))
        entry.steps += later[: max(n_new) - 1]
        entries.append(entry)
    return Receipt(entries, n_passes=max(n_new), n_tokens=n_prompt, has_bos=[ids[0] == bos for ids in rows])


class Outcome(NamedTuple):
    """What one write did to the texts of one request.

    Attributes:
        in_prompt: the tokens of the prompt that it is for.
        behind: those after it, of all texts.
        ratio: the sum of |added| / |residual| over what was run.
        run: how many tokens that were; those from the cache are not.
    """

    in_prompt: list[int]
    behind: list[int]
    ratio: float
    run: float


def outcome_of(write: RequestWrite, told: Told, n_prompt: int, n_new: Sequence[int], what: str) -> Outcome:
    """What a write did, after checking that it did all that it had to.

    Args:
        write: of a request.
        told: what workers say of it.
        n_prompt: tokens of the prompt.
        n_new: how many followed, in each of the request's texts.
        what: is steered, for errors.

    Raises:
        ModelError: fewer tokens were steered than had to be.
        VectorError: residuals were not finite.
    """
    in_prompt = write.chosen.within(0, n_prompt)
    behind = [token for n in n_new for token in write.chosen.within(n_prompt, n_prompt + n - 1)]
    wanted = len(n_new) * len(in_prompt) + len(behind)
    counts = {name: told.get(name, 0) for name in ("prompt", "generated", "cached", "again", "ratio")}
    done = int(counts["prompt"] + counts["generated"] + counts["cached"])
    if done < wanted:
        raise ModelError(
            f"vLLM steered {done} of {wanted} tokens of {what} at {write.site!r}; please report this, with the model "
            "and the settings of the engine"
        )
    if not math.isfinite(counts["ratio"]):
        raise VectorError(
            f"the residual stream of {what} is not finite where it is steered at {write.site!r}, or after the last "
            "block; lower the multiplier, or run the model in a wider precision"
        )
    return Outcome(in_prompt, behind, counts["ratio"], done - counts["cached"] + counts["again"])
