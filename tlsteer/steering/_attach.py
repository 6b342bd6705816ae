"""The contexts that steer a model and leave it as it was."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, runtime_checkable

from torch import Tensor

from tlsteer._arguments import checked
from tlsteer._model_type import Model
from tlsteer._numbers import Number, as_number
from tlsteer._passes import Pass, See
from tlsteer._surface import Edit, Surface
from tlsteer.errors import PositionError
from tlsteer.positions import Last, Positions
from tlsteer.sites import Site
from tlsteer.steering._interventions import Intervention, Write, listed
from tlsteer.steering._outcome import Outcome
from tlsteer.steering._receipts import Receipt, collect
from tlsteer.steering._tracker import Tracker
from tlsteer.steering._writer import Writer
from tlsteer.vector_sets import VectorSet
from tlsteer.vectors import SteeringVector


@checked
@contextmanager
def steer(
    model: Model,
    *interventions: Intervention | SteeringVector | VectorSet,
    multiplier: Number | Sequence[Number] = 1.0,
    positions: Positions = "all",
    prompt_lengths: Sequence[int] | None = None,
) -> Iterator[Receipt]:
    """Steers every forward pass of `model` inside the context, then leaves it as it was.

    Works under any way of running the model: calling it, `generate`, `run_with_cache`, `run_with_hooks`.
    Several interventions compose in the order given. What continues a pass (tokens fed through its key-value
    cache, or the same tokens with one more) counts as its completion; anything else starts a new prompt.
    The context is of the thread that enters it: other threads wait until it ends, and their direct calls of the
    model are refused meanwhile.

    Args:
        model: a TransformerBridge or HookedTransformer.
        interventions: interventions, or vectors and sets of vectors to apply with `multiplier` and `positions`.
        multiplier: for bare vectors and sets; see `Intervention`.
        positions: likewise.
        prompt_lengths: real tokens of the prompt in each row, where one pass holds prompt and completion both;
            the whole pass is the prompt otherwise, and a warning says so where that decides what was steered.

    Yields:
        The receipt, filled as passes run.

    Raises:
        VectorError: a vector of another model, width or weight processing.
        SiteError: a site this model does not have.
        PositionError: positions that select nothing.
        DataError: a pass whose rows begin with two BOS, as those of a chat prompt do where it is given as text.
        ModelError: another thread has the model, or called it; a part of the model was called by itself.

    >>> with steer(model, vector, multiplier=2.0) as receipt:
    ...     logits = model("Hello")
    >>> tokens = to_tokens(model, prompts)  # of texts with different lengths, padded
    >>> with steer(model, vector, multiplier=2.0) as receipt:
    ...     logits = model(tokens.ids, attention_mask=tokens.mask)
    """
    if any(isinstance(one, Intervention) for one in interventions) and not (
        as_number(multiplier) == 1.0 and isinstance(positions, str) and positions == "all"
    ):
        raise PositionError("multiplier and positions belong inside an Intervention; give them there")
    surface = Surface(model)
    todo = listed(interventions, multiplier, positions)
    with attach(surface, [one.write(surface) for one in todo], prompt_lengths) as receipt:
        yield receipt
    for one in todo:
        if prompt_lengths is None and (why := _untold(one.positions, receipt)):
            warnings.warn(
                f"positions={one.positions!r}: {why}; where texts hold prompt and completion both, give "
                "prompt_lengths=[...], or score them by tlsteer.completion_logprob or `tlsteer eval`",
                stacklevel=3,
            )


def _untold(positions: Positions, receipt: Receipt) -> str:
    """Why the tokens that positions chose may be others than were meant; nothing where they are not."""
    if isinstance(positions, str) and positions in ("prompt", "completion") and receipt.alone:
        return "texts that nothing continued were taken for a prompt as a whole, because nothing says where one ends"
    ends = (positions.start, positions.stop) if isinstance(positions, slice) else ()
    from_end = any(end is not None and end < 0 for end in ends)
    if (isinstance(positions, Last) or from_end) and any(receipt.alone):
        return (
            "the Hugging Face model under the bridge was called, as harnesses do to score a prompt with a completion, "
            "and the whole text was taken for the prompt"
        )
    return ""


@runtime_checkable
class Runner(Protocol):
    """What forward passes are run on: a model's `Surface`, or a faster view of it.

    >>> isinstance(surface, Runner)
    True
    """

    def watch(self, see: See) -> AbstractContextManager[None]:
        """Calls `see` with every forward pass that begins, and with None at its end."""
        ...

    def edits(self, edits: Sequence[tuple[Site, Edit]]) -> AbstractContextManager[None]:
        """Adds to the residual at sites in every forward pass."""
        ...


@checked
@contextmanager
def attach(
    surface: Surface,
    writes: Sequence[Write],
    prompt_lengths: Sequence[int] | None = None,
    runner: Runner | None = None,
    names: Sequence[str] | None = None,
    goes_on: bool = True,
    may_overflow: bool = False,
) -> Iterator[Receipt]:
    """`steer` for writes given as tensors, on the model or a faster view of it; gradients flow into the vectors.

    Args:
        surface: the model.
        writes: in the order they are made.
        prompt_lengths: see `steer`.
        runner: what is run instead of the model.
        names: what errors call the rows: batches are sorted, and the caller knows them by other numbers.
        goes_on: whether passes may continue the first one; where none does, positions that wait for one are refused.
        may_overflow: residuals that are not finite are a result, and no error.

    Raises:
        VectorError: at the end, where residuals were not finite.
        PositionError: at the end, where nothing was steered.

    >>> with attach(surface, [Intervention(vector, 2.0).write(surface)]) as receipt:
    ...     logits = model(tokens.ids, attention_mask=tokens.mask)
    """
    tracker, outcome = Tracker(surface, prompt_lengths, names, goes_on), Outcome(surface)
    writers = [Writer(write, surface, tracker, outcome) for write in writes]
    receipt = Receipt([writer.receipt for writer in writers])
    collect(receipt)

    was_new = False

    def see(coming: Pass | None) -> None:
        nonlocal was_new
        tracker.see(coming)
        if coming is None:
            return
        receipt.n_passes += 1
        if not tracker.is_new and was_new:
            receipt.alone.pop()
        was_new = tracker.is_new
        if tracker.is_new:
            receipt.alone.append(coming.is_foreign)
            receipt.n_tokens += tracker.n_tokens
            receipt.has_bos += tracker.has_bos
        for writer in writers:
            writer.select()

    def look(residual: Tensor) -> None:
        if tracker.reading is not None:
            outcome.look(outcome.last, residual, tracker.reading.real)

    host = runner or surface
    edits: list[tuple[Site, Edit]] = [(write.site, one.added) for write, one in zip(writes, writers, strict=True)]
    with host.watch(see), host.edits([*edits, (outcome.last, look)] if writes else []):
        yield receipt
    if not may_overflow:
        outcome.check()
    for entry in receipt.entries:
        if receipt.n_passes and not entry.n_positions:
            raise PositionError(f"nothing was steered at {entry.site}: its positions selected no token of any pass")
