"""Text to ids: BOS once, boundaries checked, batches padded with their mask."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from tqdm.auto import tqdm

from tlsteer.errors import DataError
from tlsteer.surface import Surface


def encode(surface: Surface, text: str) -> list[int]:
    """The ids of a text, with BOS in front where TransformerLens puts one and the text has none yet.

    Raises:
        DataError: the text gives no token at all, or is no text.
    """
    if not isinstance(text, str):
        raise DataError(f"a {type(text).__name__} is not a text: {text!r}; for messages, see chat_prompt")
    tokenizer = surface.tokenizer
    ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
    bos = tokenizer.bos_token_id
    # A chat template writes BOS itself; a second one would shift every position and change the model.
    if surface.model.cfg.default_prepend_bos and bos is not None and ids[:1] != [bos]:
        ids = [bos, *ids]
    if not ids:
        raise DataError(f"the text {text!r} gives no tokens")
    return ids


def encode_prompts(surface: Surface, prompts: Sequence[str], room: int = 0) -> list[list[int]]:
    """The ids of each prompt, checked to leave `room` tokens of the model's context free.

    Raises:
        DataError: there are no prompts, or one is too long for the model.
    """
    if isinstance(prompts, str) or not prompts:
        raise DataError(f"give a list of at least one prompt, got {prompts!r}")
    rows = [encode(surface, prompt) for prompt in prompts]
    for number, ids in enumerate(rows):
        _check_length(surface, f"prompt {number}", len(ids), room)
    return rows


def encode_completion(surface: Surface, prompt: str, completion: str) -> tuple[list[int], list[int]]:
    """The ids of a prompt and of the completion that follows it, from one tokenization of both.

    Raises:
        DataError: an empty completion, a token that spans the boundary, or a text too long for the model.
    """
    if not completion:
        raise DataError(f"the completion of prompt {_short(prompt)!r} is empty")
    before, both = encode(surface, prompt), encode(surface, prompt + completion)
    if both[: len(before)] != before:
        split = next(i for i, (a, b) in enumerate(zip(before, both, strict=False)) if a != b)
        token = surface.tokenizer.decode([both[split]])
        raise DataError(
            f"token {token!r} spans the boundary between prompt {_short(prompt)!r} and completion "
            f"{_short(completion)!r}; move a space or a character from one to the other"
        )
    if len(both) == len(before):
        raise DataError(f"the completion {completion!r} gives no tokens of its own")
    _check_length(surface, f"prompt {_short(prompt)!r} with its completion", len(both), 0)
    return before, both[len(before) :]


def pad(
    surface: Surface, rows: Sequence[Sequence[int]], side: Literal["left", "right"]
) -> tuple[Int[Tensor, "batch pos"], Bool[Tensor, "batch pos"]]:
    """Ids of unequal rows as one tensor on the model's device, and the mask of real tokens."""
    width = max(len(row) for row in rows)
    ids = torch.full((len(rows), width), surface.pad_id, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.bool)
    for number, row in enumerate(rows):
        columns = slice(width - len(row), width) if side == "left" else slice(0, len(row))
        ids[number, columns] = torch.tensor(row)
        mask[number, columns] = True
    return ids.to(surface.device), mask.to(surface.device)


def batches(rows: Sequence[Sequence[int]], batch_size: int, task: str, progress: bool) -> Iterable[list[int]]:
    """The numbers of the rows in batches of like length, so that little is spent on padding, behind a bar.

    Raises:
        DataError: a batch size below 1.
    """
    if batch_size < 1:
        raise DataError(f"batch_size={batch_size} has to be at least 1")
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    found = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    return tqdm(found, desc=task, unit="batch", disable=not progress or len(found) < 2)


def _check_length(surface: Surface, what: str, n_tokens: int, room: int) -> None:
    if n_tokens + room > surface.n_ctx:
        wanted = f"{n_tokens} tokens" + (f" and {room} to generate" if room else "")
        raise DataError(f"{what} has {wanted}, but {surface.name!r} holds {surface.n_ctx}; shorten it")


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"...{text[-57:]}"
