"""Steered text: batches of prompts, a key-value cache, greedy or sampled, as reproducible as its seed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

import torch

from tlsteer._arguments import Whole, checked
from tlsteer._continuing import Continuation, Sampler, end_ids, seed_of
from tlsteer._model_type import Model
from tlsteer._surface import Surface
from tlsteer.data._prompt_like import PromptLike, several
from tlsteer.errors import DataError
from tlsteer.lean import lean_or_plain
from tlsteer.positions import check_prompts
from tlsteer.steering import Interventions, attach, listed
from tlsteer.tokens import batches, completion_text, decode_after, encode_prompts

# Read with new ids so that a stop string is found in their text as it goes on.
_READ_BEFORE = 16


@overload
def generate(
    model: Model, prompts: str | Sequence[str], interventions: Interventions = ..., *, max_new_tokens: Whole = ...,
    temperature: float = ..., top_k: Whole | None = ..., top_p: float | None = ..., stop: str | Sequence[str] = ...,
    seed: int = ..., batch_size: Whole = ..., use_cache: bool = ..., progress: bool = ...,
) -> list[str]: ...  # fmt: skip


@overload
def generate(
    model: Model, prompts: Sequence[int] | Sequence[Sequence[int]], interventions: Interventions = ..., *,
    max_new_tokens: Whole = ..., temperature: float = ..., top_k: Whole | None = ..., top_p: float | None = ...,
    seed: int = ..., batch_size: Whole = ..., use_cache: bool = ..., progress: bool = ...,
) -> list[list[int]]: ...  # fmt: skip


@checked
def generate(
    model: Model,
    prompts: PromptLike | Sequence[PromptLike],
    interventions: Interventions = (),
    *,
    max_new_tokens: Whole = 64,
    temperature: float = 0.0,
    top_k: Whole | None = None,
    top_p: float | None = None,
    stop: str | Sequence[str] = (),
    seed: int = 0,
    batch_size: Whole = 32,
    use_cache: bool = True,
    progress: bool = True,
) -> list[str] | list[list[int]]:
    """Continues prompts under interventions: texts by text, token ids by token ids.

    A row's text depends on its prompt, the interventions and the seed alone, not on the batch it was in. A text goes on
    from its prompt, first space and all: the two together give the tokens that were generated, unless the model wrote
    a text in other tokens than its tokenizer does. Give prompts as ids (`to_tokens(model, texts).rows`) for the ids.

    Args:
        model: a TransformerBridge or HookedTransformer, or one that is served (see `tlsteer.serving`), which draws
            other tokens where it samples.
        prompts: texts to continue, chat template and all (see `chat_prompt`), or rows of token ids.
        interventions: what to apply; nothing by default. Per-row vectors and multipliers go by prompt.
        max_new_tokens: at most this many tokens per prompt; less where the model ends its text or a stop string comes.
        temperature: 0 is greedy; above, tokens are sampled from softmax(logits / temperature).
        top_k: sample from the k likeliest tokens only.
        top_p: sample from the likeliest tokens that together have this probability.
        stop: a string that ends a text, or several; it is left out of the text. Not for prompts of ids.
        seed: of the sampling; each prompt has a generator of its own made from it.
        batch_size: prompts run at once; the engine of a model that is served decides itself.
        use_cache: keep keys and values between steps; off is slow and gives the same text.
        progress: show a bar where there are several batches.

    Returns:
        The new text of each prompt, special tokens left out, or its new ids without the one that ends them, in the
        order of the prompts.

    Raises:
        DataError: no prompts, texts and ids together, a prompt too long for the model, or settings out of range.
        PositionError: positions that cannot be told in a prompt, or select nothing.

    >>> plain = generate(model, prompts, max_new_tokens=8)
    >>> plain == generate(model, prompts, Intervention(vector, multiplier=0.0), max_new_tokens=8)
    True
    >>> steered = generate(model, prompts, Intervention(vector, 2.0, positions="completion"), max_new_tokens=8)
    """
    prompts = several(prompts)
    stop = [stop] if isinstance(stop, str) else list(stop)
    _check(max_new_tokens, temperature, top_k, top_p, stop)
    surface = Surface(model)
    rows = encode_prompts(surface, prompts, room=max_new_tokens)
    texts = [prompt for prompt in prompts if isinstance(prompt, str)]
    if 0 < len(texts) < len(rows) or (stop and not texts):
        raise DataError("prompts are all texts or all token ids, and stop strings end texts alone")

    def text_of(number: int, ids: list[int]) -> str:
        return completion_text(surface, texts[number], rows[number], ids)

    def stopped(number: int, ids: list[int]) -> bool:
        if not stop or _stop_at(decode_after(surface, rows[number][-_READ_BEFORE:], ids), stop) is None:
            return False
        return _stop_at(text_of(number, ids), stop) is not None

    todo = listed(interventions)
    for one in todo:
        check_prompts(one.positions, rows, surface.decode)
    new: list[list[int]] = [[] for _ in rows]
    if surface.writer is not None:
        if not use_cache:
            raise DataError(f"use_cache=False: {surface.writer} keeps keys and values in its own way; leave it out")
        new = surface.writer.continued(
            rows, [one.for_rows(range(len(rows)), len(rows)).write(surface) for one in todo],
            max_new_tokens=max_new_tokens, ends=sorted(end_ids(surface)), temperature=temperature, top_k=top_k,
            top_p=top_p, seeds=[seed_of(seed, number) for number in range(len(rows))] if temperature else None,
        )  # fmt: skip
    else:
        sampler, runner = Sampler(temperature, top_k, top_p, seed), lean_or_plain(surface)
        for batch in batches(rows, batch_size, "generate", progress):
            writes = [one.for_rows(batch, len(rows)).write(surface) for one in todo]
            own = [rows[i] for i in batch]
            with attach(surface, writes, runner=runner, names=[f"prompt {i}" for i in batch]):
                reading = Continuation(surface, runner, own, use_cache)
                found = _continue(reading, batch, sampler, max_new_tokens, stopped)
            for i, ids in zip(batch, found, strict=True):
                new[i] = ids
    if not texts:
        return new
    whole = [text_of(number, ids) for number, ids in enumerate(new)]
    return [text[: _stop_at(text, stop)] for text in whole]


def _check(
    max_new_tokens: Whole, temperature: float, top_k: Whole | None, top_p: float | None, stop: Sequence[str]
) -> None:
    for name, value, fits, wanted in (
        ("max_new_tokens", max_new_tokens, max_new_tokens >= 1, "at least 1"),
        ("temperature", temperature, 0 <= temperature < float("inf"), "0 (greedy) or more"),
        ("top_k", top_k, top_k is None or top_k >= 1, "at least 1, or None for all tokens"),
        ("top_p", top_p, top_p is None or 0 < top_p <= 1, "above 0 and at most 1"),
        ("stop", stop, all(stop), "without empty strings, which end every text at once"),
    ):
        if not fits:
            raise DataError(f"{name}={value!r} has to be {wanted}")


@torch.no_grad()
def _continue(
    reading: Continuation,
    numbers: list[int],
    sampler: Sampler,
    max_new_tokens: Whole,
    stopped: Callable[[int, list[int]], bool],
) -> list[list[int]]:
    """The new ids of each row, up to an end token or to where they are said to have stopped."""
    new: list[list[int]] = [[] for _ in numbers]
    ended = [False] * len(numbers)
    for _ in range(max_new_tokens):
        chosen = sampler.choose(reading.logits(), numbers)
        for i, token in enumerate(chosen):
            if ended[i] or token in reading.ends:
                ended[i] = True
                continue
            new[i].append(token)
            ended[i] = stopped(numbers[i], new[i])
        if all(ended):
            break
        reading.append(chosen)
    return new


def _stop_at(text: str, stop: Sequence[str]) -> int | None:
    """Where the first stop string begins; None where there is none."""
    return min((at for at in (text.find(one) for one in stop) if at >= 0), default=None)
