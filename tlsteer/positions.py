"""Which tokens an intervention touches, under padding, unequal prompts and cached generation.

A choice of positions is resolved once per prompt to a span of token indices in each row, counted over the
row's real tokens (padding does not count, BOS is index 0). A span says for every later token too whether it
is steered, so it holds when generation feeds one token per step.

| choice | steers |
|---|---|
| `"all"` | every token |
| `"prompt"` | the prompt, not what follows |
| `"completion"` | the tokens whose output predicts the completion: from the last prompt token on |
| `last(k)` | the last k prompt tokens; a prompt with fewer is an error |
| `after("text")` | what follows the last occurrence of a text in the prompt, and the completion's own tokens |
| `slice(a, b)` | token indices a to b of a row, negative ones from the prompt's end; open ends have the completion |
| a boolean mask | these columns of the padded prompt batch (batch, pos) or (pos,); not what follows |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from tlsteer._arguments import checked
from tlsteer._position_texts import parsed
from tlsteer.errors import PositionError

OPEN_END = 2**62


@dataclass(frozen=True)
class Last:
    """The last `count` tokens of the prompt."""

    count: int


@dataclass(frozen=True)
class After:
    """Everything after the last occurrence of `text` in the prompt."""

    text: str


@checked
def last(count: int) -> Last:
    """The last `count` prompt tokens, e.g. `positions=last(20)`; prompts with fewer are refused where they are run.

    Raises:
        PositionError: `count` is not a positive whole number.

    >>> with steer(model, vector, positions=last(1)) as receipt:
    ...     logits = model("Hello")
    >>> receipt.entries[0].n_positions
    1
    """
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
        raise PositionError(f"last({count!r}) selects nothing; give a whole number of 1 or more")
    return Last(int(count))


@checked
def after(text: str) -> After:
    """The tokens after the last occurrence of `text` in the prompt, and all that is generated.

    Where a prompt ends with the text, these are the generated tokens alone; where nothing is generated, an error.

    Raises:
        PositionError: `text` is empty.

    >>> Intervention(vector, 2.0, positions=after("Question:")).positions
    After(text='Question:')
    """
    if not isinstance(text, str) or not text:
        raise PositionError(f"after({text!r}) needs a non-empty text")
    return After(text)


Positions = str | Last | After | slice | Bool[Tensor, "..."]
Decode = Callable[[list[int]], str]


@dataclass(frozen=True)
class Prompt:
    """The padded prompts of a batch, as the model was given them.

    Attributes:
        tokens: ids, padding included.
        real: False at padding.
        length: real tokens of each row that belong to the prompt; what follows them is completion.
        names: what errors call each row, such as "prompt 7" of a list that is run in batches; by default its number.
    """

    tokens: Int[Tensor, "batch pos"]
    real: Bool[Tensor, "batch pos"]
    length: Int[Tensor, " batch"]
    names: Sequence[str] | None = None

    def name(self, row: int) -> str:
        """What errors call a row."""
        return f"prompt {row}" if self.names is None else self.names[row]


@dataclass(frozen=True)
class Selection:
    """Resolved positions: a span of token indices for each row, or columns of the prompt batch."""

    start: Int[Tensor, " batch"]
    stop: Int[Tensor, " batch"]
    step: int = 1
    columns: Bool[Tensor, "batch pos"] | None = None

    def mask(
        self, index: Int[Tensor, "batch chunk"], real: Bool[Tensor, "batch chunk"], first_column: int
    ) -> Bool[Tensor, "batch chunk"]:
        """Which tokens of a chunk are selected.

        Args:
            index: each token's index in its row, counted over real tokens.
            real: False at padding.
            first_column: how many columns of the batch came before this chunk.
        """
        if self.columns is not None:
            # Columns beyond the prompt (generated tokens) are not selected.
            chunk = self.columns[:, first_column : first_column + index.shape[1]]
            missing = index.shape[1] - chunk.shape[1]
            return torch.nn.functional.pad(chunk, (0, missing)).to(index.device) & real
        start, stop = self.start[:, None], self.stop[:, None]
        inside = (index >= start) & (index < stop) & real
        return inside & ((index - start) % self.step == 0) if self.step > 1 else inside

    def may_select_later(self, index: Int[Tensor, "batch chunk"]) -> Bool[Tensor, " batch"]:
        """Rows in which tokens after those of `index` can still be selected."""
        if self.columns is not None:
            return torch.zeros_like(self.stop, dtype=torch.bool)
        return self.stop > index[:, -1] + 1


def positions_from(text: str) -> Positions:
    """The choice that a text names, as on the command line: "last:5", "after:TEXT", "2:10" or a plain word.

    Raises:
        PositionError: it names none.
    """
    kind, value = parsed(text)
    return {"last": last, "after": after}[kind](value) if kind in ("last", "after") else value


def check_positions(positions: Positions) -> None:
    """Raises PositionError where `positions` is not one of the choices this module lists."""
    if isinstance(positions, str) and positions not in ("all", "prompt", "completion"):
        raise PositionError(
            f'positions={positions!r} is unknown; use "all", "prompt", "completion", last(k), '
            "after(text), a slice or a boolean mask"
        )
    if isinstance(positions, slice):
        ends = (positions.start, positions.stop, positions.step)
        if not all(end is None or (isinstance(end, Integral) and abs(int(end)) < OPEN_END) for end in ends):
            raise PositionError(f"{positions} is not made of whole numbers")
        if positions.step is not None and positions.step < 1:
            raise PositionError(f"{positions} has a step below 1; use a positive step")
    if isinstance(positions, Tensor) and (positions.dtype != torch.bool or positions.ndim not in (1, 2)):
        raise PositionError(
            f"a mask of positions is a boolean tensor (pos,) or (batch, pos); "
            f"got {positions.dtype} of shape {tuple(positions.shape)}"
        )
    if not isinstance(positions, str | Last | After | slice | Tensor):
        raise PositionError(f"positions={positions!r} is a {type(positions).__name__}, not a choice of tokens")


def for_rows(positions: Positions, rows: Sequence[int], n_rows: int) -> Positions:
    """The same choice for some rows of a larger batch; only a mask with a row for each differs.

    Raises:
        PositionError: a mask with another number of rows.
    """
    if not isinstance(positions, Tensor) or positions.ndim < 2:
        return positions
    if positions.shape[0] != n_rows:
        raise PositionError(f"the mask has {positions.shape[0]} rows for {n_rows} texts; give (pos,) or (batch, pos)")
    return positions[list(rows)]


def resolve(positions: Positions, prompt: Prompt, decode: Decode) -> Selection:
    """Positions as a span of token indices for each row of a prompt batch.

    Raises:
        PositionError: a mask of another shape, a text for `after` that a prompt does not contain, or a prompt
            with fewer tokens than `last` asks for.
    """
    length = prompt.length
    zero, end = torch.zeros_like(length), torch.full_like(length, OPEN_END)
    if isinstance(positions, Tensor):
        return Selection(zero, end, columns=_fit_mask(positions, prompt))
    if isinstance(positions, slice):
        check_positions(positions)
        start = zero if positions.start is None else _index(int(positions.start), length)
        stop = end if positions.stop is None else _index(int(positions.stop), length)
        return Selection(start, stop, int(positions.step or 1))
    if isinstance(positions, Last):
        return Selection(_last(positions.count, prompt), length)
    if isinstance(positions, After):
        return Selection(_after(positions.text, prompt, decode), end)
    if positions == "prompt":
        return Selection(zero, length)
    if positions == "completion":
        return Selection(length - 1, end)
    return Selection(zero, end)


def check_prompts(positions: Positions, prompts: Sequence[Sequence[int]], decode: Decode) -> None:
    """Raises PositionError, before anything is run, for a prompt too short for `last` or without `after`'s text."""
    if isinstance(positions, Last | After):
        for number, ids in enumerate(prompts):
            tokens = torch.tensor([list(ids)])
            real, length = torch.ones_like(tokens, dtype=torch.bool), torch.tensor([len(ids)])
            resolve(positions, Prompt(tokens, real, length, [f"prompt {number}"]), decode)


def check_selected(positions: Positions, prompt: Prompt, selected: Bool[Tensor, " batch"]) -> None:
    """Raises PositionError for the first row in which nothing is selected."""
    if selected.all():
        return
    row = int((~selected).nonzero()[0])
    why = "; the text ends it, and nothing is generated here" if isinstance(positions, After) else ""
    raise PositionError(
        f"positions={positions!r} select nothing in {prompt.name(row)}, which has {prompt.length[row]} tokens{why}"
    )


def _index(value: int, length: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
    return torch.full_like(length, value) if value >= 0 else (length + value).clamp(min=0)


def _fit_mask(mask: Bool[Tensor, ...], prompt: Prompt) -> Bool[Tensor, "batch pos"]:
    batch, pos = prompt.tokens.shape
    if mask.shape not in ((pos,), (batch, pos)):
        raise PositionError(
            f"the mask has shape {tuple(mask.shape)}, but the prompts are (batch={batch}, pos={pos}); "
            "give (pos,) or (batch, pos), padding included"
        )
    return mask.to(prompt.tokens.device).expand(batch, pos)


def _last(count: int, prompt: Prompt) -> Int[Tensor, " batch"]:
    missing = (prompt.length < min(count, OPEN_END)).nonzero()
    if len(missing):
        row = int(missing[0])
        raise PositionError(
            f'last({count}): {prompt.name(row)} has {prompt.length[row]} tokens; ask for fewer, or give "prompt" '
            "for all of each prompt"
        )
    return prompt.length - count


def _after(text: str, prompt: Prompt, decode: Decode) -> Int[Tensor, " batch"]:
    starts = []
    for row, (tokens, real, length) in enumerate(zip(prompt.tokens, prompt.real, prompt.length.tolist(), strict=True)):
        ids = tokens[real][:length].tolist()
        last_at = decode(ids).rfind(text)
        if last_at < 0:
            raise PositionError(f"after({text!r}): {prompt.name(row)} does not contain that text: {decode(ids)!r}")
        # The first token count whose decoded prefix holds the last occurrence; longer ones do too, so halve.
        low, high = 1, len(ids)
        while low < high:
            middle = (low + high) // 2
            if decode(ids[:middle]).rfind(text) < last_at:
                low = middle + 1
            else:
                high = middle
        starts.append(low)
    return torch.tensor(starts, device=prompt.tokens.device)
