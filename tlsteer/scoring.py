"""How likely a model finds given texts: completions' log-probabilities and the balance between two answers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from tlsteer._arguments import Count, checked
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.data._prompt_like import PromptLike, several
from tlsteer.errors import DataError
from tlsteer.lean import lean_or_plain
from tlsteer.positions import check_prompts
from tlsteer.steering import Interventions, attach, listed
from tlsteer.tokens import batches, encode_completion, encode_prompts, pad


@checked
def completion_logprob(
    model: Model,
    prompts: Sequence[PromptLike],
    completions: Sequence[PromptLike],
    interventions: Interventions = (),
    *,
    batch_size: Count = 32,
    progress: bool = True,
) -> Float[Tensor, " rows"]:
    """log p(completion | prompt) in nats, summed over the completion's tokens, for each pair of texts or token ids.

    Raises:
        DataError: unequal numbers of prompts and completions, an empty completion, a token that spans the boundary,
            or a completion of text for a prompt of ids.
        PositionError: positions that cannot be told in a prompt, or select nothing in it and its completion.

    >>> completion_logprob(model, [prompts[0]], ["I cannot"], vector).shape
    torch.Size([1])
    """
    if isinstance(prompts, str) or isinstance(completions, str) or not len(prompts) == len(completions) > 0:
        raise DataError(f"give as many completions as prompts, in lists; got {len(completions)} for {len(prompts)}")
    surface = Surface(model)
    pairs = [encode_completion(surface, p, c) for p, c in zip(prompts, completions, strict=True)]
    scores = torch.zeros(len(pairs))
    for number, score, _ in scored(surface, pairs, interventions, batch_size, "completion_logprob", progress):
        scores[number] = score
    return scores


@torch.no_grad()
def scored(
    surface: Surface,
    pairs: Sequence[tuple[list[int], list[int]]],
    interventions: Interventions,
    batch_size: int,
    task: str,
    progress: bool,
) -> Iterator[tuple[int, float, bool]]:
    """Each pair's number, its log p(completion | prompt) in nats, and whether each of its tokens is the likeliest.

    Raises:
        PositionError: positions that cannot be told in a prompt, or select nothing in it and its completion.
    """
    joined = [before + after for before, after in pairs]
    todo = listed(interventions)
    if surface.elsewhere is not None:
        writes = [one.for_rows(range(len(pairs)), len(pairs)).write(surface) for one in todo]
        told = surface.elsewhere.completion_logprobs(pairs, writes)
        yield from ((number, *one) for number, one in enumerate(told))
        return
    runner = lean_or_plain(surface)
    for one in todo:
        check_prompts(one.positions, [before for before, _ in pairs], surface.decode)
    for batch in batches(joined, batch_size, task, progress):
        tokens, mask = pad(surface, [joined[i] for i in batch], "right")
        lengths = [len(pairs[i][0]) for i in batch]
        writes = [one.for_rows(batch, len(pairs)).write(surface) for one in todo]
        names = [f"prompt {i}" for i in batch]
        with attach(surface, writes, lengths, runner, names, goes_on=False):
            logits = runner.forward(tokens, mask)
        for row, i in enumerate(batch):
            before, after = pairs[i]
            # The logits at one token are about the next.
            read = logits[row, len(before) - 1 : len(before) + len(after) - 1].float()
            targets = torch.tensor(after, device=read.device)
            score = read.log_softmax(-1).gather(1, targets[:, None]).sum().item()
            yield i, score, bool((read.argmax(-1) == targets).all())


@checked
def answer_logit_difference(
    model: Model,
    prompts: Sequence[PromptLike],
    positive: PromptLike | Sequence[PromptLike],
    negative: PromptLike | Sequence[PromptLike],
    interventions: Interventions = (),
    *,
    batch_size: Count = 32,
    progress: bool = True,
) -> Float[Tensor, " prompts"]:
    """logit(positive answer) - logit(negative answer) at the end of each prompt: the propensity of arXiv 2407.12404.

    Answers are told apart by their first token.

    Args:
        model: a TransformerBridge or HookedTransformer.
        prompts: texts that end where the answer begins, or token ids, which are then answered by ids.
        positive: the answer of the behaviour in question, one for all prompts or one each, e.g. "A".
        negative: the other answer.
        interventions: what to apply.
        batch_size: prompts run at once.
        progress: show a bar where there are several batches.

    Raises:
        DataError: two answers that begin with the same token (score them with `completion_logprob`).
        PositionError: positions that cannot be told in a prompt, or select none of its tokens.

    >>> answer_logit_difference(model, prompts, "Sure", "I", vector).shape
    torch.Size([4])
    """
    surface = Surface(model)
    rows = encode_prompts(surface, prompts)
    ids = torch.tensor(
        [
            answer_ids(surface, prompt, plus, minus)
            for prompt, plus, minus in zip(prompts, _each(positive, len(rows)), _each(negative, len(rows)), strict=True)
        ]
    )
    both = next_logprobs(surface, rows, ids.tolist(), interventions, batch_size, "answer_logit_difference", progress)
    return torch.stack([one[0] - one[1] for one in both])


def next_logprobs(
    surface: Surface,
    rows: Sequence[Sequence[int]],
    ids: Sequence[Sequence[int]],
    interventions: Interventions = (),
    batch_size: int = 32,
    task: str = "next tokens",
    progress: bool = False,
) -> list[Float[Tensor, " ids"]]:
    """Log-probabilities in nats of some ids after each prompt, wherever the model is run.

    Raises:
        PositionError: positions that cannot be told in a prompt, or select none of its tokens.
    """
    if surface.elsewhere is not None:
        writes = [one.for_rows(range(len(rows)), len(rows)).write(surface) for one in listed(interventions)]
        return list(map(torch.tensor, surface.elsewhere.next_logprobs(rows, writes, ids)))
    found: list[Tensor] = [torch.empty(0)] * len(rows)
    for batch, logits in last_logits(surface, rows, interventions, batch_size, task, progress):
        for i, logs in zip(batch, logits.log_softmax(-1), strict=True):
            found[i] = logs[list(ids[i])]
    return found


@torch.no_grad()
def last_logits(
    surface: Surface,
    rows: Sequence[Sequence[int]],
    interventions: Interventions = (),
    batch_size: int = 32,
    task: str = "next tokens",
    progress: bool = False,
) -> Iterator[tuple[list[int], Float[Tensor, "batch d_vocab"]]]:
    """What follows each prompt, some prompts at a time: their numbers, and their logits in float32 on the CPU.

    Raises:
        PositionError: positions that cannot be told in a prompt, or select none of its tokens.
    """
    todo, runner = listed(interventions), lean_or_plain(surface)
    for one in todo:
        check_prompts(one.positions, rows, surface.decode)
    for batch in batches(rows, batch_size, task, progress):
        tokens, mask = pad(surface, [rows[i] for i in batch], "left")
        writes = [one.for_rows(batch, len(rows)).write(surface) for one in todo]
        with attach(surface, writes, None, runner, [f"prompt {i}" for i in batch], goes_on=False):
            logits = runner.forward(tokens, mask, last=True)[:, -1]
        yield batch, logits.float().cpu()


def answer_ids(surface: Surface, prompt: PromptLike, positive: PromptLike, negative: PromptLike) -> tuple[int, int]:
    """The first tokens of two answers after a prompt.

    Raises:
        DataError: they are the same, or a token spans the boundary.
    """
    plus, minus = (encode_completion(surface, prompt, answer)[1][0] for answer in (positive, negative))
    if plus == minus:
        raise DataError(
            f"the answers {positive!r} and {negative!r} begin with the same token; compare them with completion_logprob"
        )
    return plus, minus


def _each(answers: PromptLike | Sequence[PromptLike], n: int) -> Sequence[PromptLike]:
    given = several(answers)
    if given == [answers]:
        return given * n
    if len(given) != n:
        raise DataError(f"{len(given)} answers were given for {n} prompts; give one, or one per prompt")
    return given
