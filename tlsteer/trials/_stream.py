"""Texts of several conditions as they are written, each token read by a second condition too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from math import isnan

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer._arguments import Count, checked
from tlsteer._continuing import Continuation, Sampler
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer._token_labels import token_labels
from tlsteer.errors import DataError
from tlsteer.fit._objectives import divergence
from tlsteer.lean import lean_or_plain
from tlsteer.positions import check_prompts, for_rows
from tlsteer.steering import Intervention, Interventions, Write, attach, listed
from tlsteer.tokens import completion_text, decode_after, encode_prompts

# A token that became this much likelier, or less likely, is as dark as colours go.
REACH_NATS = 3.0

_HALF_A_CHARACTER = "\ufffd"


@dataclass(frozen=True)
class Step:
    """A token of a condition's text, and what the baseline and the condition expected in its place.

    Both have read the same text so far. Of the baseline's own text, "the condition" is the one after it.

    Attributes:
        name: the condition whose text it is of.
        piece: what it adds to the text; "" for half a character, or a special token that ends the text.
        token: the token as people can tell it apart.
        baseline_logprob: of the token, in nats.
        logprob: of the token under the condition.
        kl: KL(baseline || condition) of the two predictions, in nats; infinite where one is no distribution any more.
        likeliest: the likeliest tokens of either prediction, each with its probability in the baseline and in the
            condition; the likeliest in either comes first.

    >>> first, *_ = stream(model, prompts[0], {"unsteered": (), "steered": vector}, max_new_tokens=4)
    >>> first.name
    'unsteered'
    """

    name: str
    piece: str
    token: str
    baseline_logprob: float
    logprob: float
    kl: float
    likeliest: tuple[tuple[str, float, float], ...]

    @property
    def shift(self) -> float:
        """How much likelier the condition makes the token than the baseline, in nats."""
        return self.logprob - self.baseline_logprob


@dataclass(frozen=True)
class Finished:
    """A condition's text, finished.

    Attributes:
        name: of the condition.
        text: what `generate` gives with the same settings.
        ended: whether the model ended it, or the limit of tokens did.

    >>> *steps, finished = stream(model, prompts[0], {"unsteered": (), "steered": vector}, max_new_tokens=4)
    >>> isinstance(finished, Finished)
    True
    """

    name: str
    text: str
    ended: bool


@checked
def stream(
    model: Model,
    prompt: str,
    conditions: Mapping[str, Interventions],
    *,
    max_new_tokens: Count = 64,
    temperature: float = 0.0,
    seed: int = 0,
    n_likeliest: Count = 5,
) -> Iterator[Step | Finished]:
    """Continues a prompt under several conditions at once, token by token, in one forward pass a token.

    The first condition is the baseline. Every other one's text is read by the baseline as well, and the baseline's by
    the condition after it, so that each token comes with what both expected there. Whoever no longer wants the rest
    closes the iterator; until then the model belongs to the thread that iterates.

    Args:
        model: a TransformerBridge or HookedTransformer.
        prompt: the text to continue; chat template and all (see `chat_prompt`).
        conditions: what is applied, by name; at least two, of which the first is the baseline, `()` for none.
        max_new_tokens: at most this many tokens in each text.
        temperature: 0 is greedy; probabilities are those at temperature 1 in any case.
        seed: of the sampling; each condition draws as `generate` does for one prompt.
        n_likeliest: how many of the likeliest tokens of each prediction are told.

    Returns:
        A `Step` for each token of each text, in turn, and a `Finished` where a text has ended.

    Raises:
        DataError: fewer than two conditions, several vectors or multipliers in one intervention, a prompt too long for
            the model, or a negative temperature.
        PositionError: positions that cannot be told in the prompt, or select nothing.
        VectorError: a vector of another model, or one too large for it.

    >>> for step in stream(model, prompts[0], {"unsteered": (), "steered": vector}, max_new_tokens=4):
    ...     step.name
    """
    if len(conditions) < 2:
        raise DataError(f"give at least two conditions to compare, the baseline first; got {', '.join(conditions)}")
    if not 0 <= temperature < float("inf"):
        raise DataError(f"temperature={temperature!r} has to be 0 (greedy) or more")
    surface = Surface(model)
    (ids,) = encode_prompts(surface, [prompt], room=max_new_tokens)
    todo = {name: listed(some) for name, some in conditions.items()}
    for one in (one for some in todo.values() for one in some):
        if len(one.vectors) > 1 or len(one.multipliers) > 1:
            raise DataError("one prompt takes one vector and one multiplier in each of its interventions; got several")
        check_prompts(one.positions, [ids], surface.decode)
    baseline, *others = todo.values()
    # A pair of rows for each text: its own condition, and the one that reads along.
    rows = [row for own, other in [(baseline, others[0]), *((one, baseline) for one in others)] for row in (own, other)]
    samplers = [Sampler(temperature, None, None, seed) for _ in todo]
    return _streamed(surface, prompt, ids, list(todo), _by_row(rows, surface), samplers, max_new_tokens, n_likeliest)


@torch.no_grad()
def _streamed(
    surface: Surface,
    prompt: str,
    ids: list[int],
    names: list[str],
    writes: list[Write],
    samplers: list[Sampler],
    max_new_tokens: int,
    n_likeliest: int,
) -> Iterator[Step | Finished]:
    runner, label = lean_or_plain(surface), cache(lambda token: token_labels(surface, [token])[0])
    new: list[list[int]] = [[] for _ in names]
    shown = [""] * len(names)
    going = list(range(len(names)))
    with attach(surface, writes, runner=runner):
        reading = Continuation(surface, runner, [ids] * (2 * len(names)))
        for count in range(1, max_new_tokens + 1):
            logits = reading.logits().float()
            chosen = [sampler.choose(own[None], [0])[0] for sampler, own in zip(samplers, logits[::2], strict=True)]
            for i in tuple(going):
                token, piece = chosen[i], ""
                ended = token in reading.ends
                is_last = ended or count == max_new_tokens
                new[i] += [] if ended else [token]
                whole = decode_after(surface, ids, new[i])
                if is_last or not whole.endswith(_HALF_A_CHARACTER):
                    piece, shown[i] = whole.removeprefix(shown[i]), whole
                own, other = logits[2 * i], logits[2 * i + 1]
                before, after = (own, other) if i == 0 else (other, own)
                likeliest = _likeliest(before.softmax(-1), after.softmax(-1), n_likeliest)
                yield Step(
                    name=names[i],
                    piece=piece,
                    token=label(token),
                    baseline_logprob=before.log_softmax(-1)[token].item(),
                    logprob=after.log_softmax(-1)[token].item(),
                    kl=_nats(divergence(after[None], before[None]).item()),
                    likeliest=tuple((label(one), p, q) for one, p, q in likeliest),
                )
                if is_last:
                    going.remove(i)
                    yield Finished(names[i], completion_text(surface, prompt, ids, new[i]), ended)
            if not going:
                break
            reading.append([token for token in chosen for _ in range(2)])


def _nats(kl: float) -> float:
    """A divergence that rounding took below 0, or that is no number because a distribution is none any more."""
    return float("inf") if isnan(kl) else max(0.0, kl)


def _by_row(rows: Sequence[Sequence[Intervention]], surface: Surface) -> list[Write]:
    """Interventions of rows as those of a batch: each is at multiplier 0, where it changes nothing, in other rows."""
    distinct = list({id(one): one for row in rows for one in row}.values())
    return [
        Intervention(
            one.vectors[0], [one.multipliers[0] if any(one is mine for mine in row) else 0.0 for row in rows],
            for_rows(one.positions, [0] * len(rows), 1), one.operation, one.site,
        ).write(surface)
        for one in distinct
    ]  # fmt: skip


def _likeliest(
    before: Float[Tensor, " d_vocab"], after: Float[Tensor, " d_vocab"], n: int
) -> list[tuple[int, float, float]]:
    both = torch.stack([before, after])
    several = both.topk(min(n, len(before))).indices.flatten().unique().tolist()
    found = [(one, before[one].item(), after[one].item()) for one in several]
    return sorted(found, key=lambda one: -max(one[1:]))
