"""What counts as a model wherever one is asked for: what both of TransformerLens's model classes have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, runtime_checkable

from torch import Tensor, nn

from tlsteer.errors import ModelError

if TYPE_CHECKING:
    from transformer_lens import ActivationCache
    from transformer_lens.hook_points import HookPoint


@runtime_checkable
class Model(Protocol):
    """A TransformerBridge, or a HookedTransformer of TransformerLens 3.9, with what may be relied on in either.

    All else they do is TransformerLens's own; `load_model` of a name gives a TransformerBridge and says so.

    Attributes:
        cfg: sizes and settings, such as `n_layers`, `d_model` and `model_name`.
        tokenizer: of transformers; None where the model has none.
        hook_dict: every hook point by name.

    >>> def first_logits(model: ts.Model, prompt: str):
    ...     return model(prompt)[0, 0]
    >>> first_logits(model, "Hello").shape == (model.cfg.d_vocab,)
    True
    """

    cfg: Any
    tokenizer: Any

    # isinstance asks for everything that stands here, and a bridge makes its hook_dict anew each time.
    if TYPE_CHECKING:

        @property
        def hook_dict(self) -> Mapping[str, HookPoint]: ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """A forward pass of text or tokens; logits by default."""
        ...

    def run_with_cache(self, *args: Any, **kwargs: Any) -> tuple[Any, ActivationCache]:
        """A forward pass with its activations by hook name."""
        ...

    def run_with_hooks(self, *args: Any, **kwargs: Any) -> Any:
        """A forward pass with hooks for its length."""
        ...

    def hooks(self, fwd_hooks: list = ..., bwd_hooks: list = ...) -> AbstractContextManager:
        """Hooks for the length of a `with`."""
        ...

    def to_tokens(self, input: str | list[str], prepend_bos: bool | None = ...) -> Tensor:
        """Ids of texts, one row per text, with BOS in front where the model's settings put one."""
        ...

    def to_string(self, tokens: list[int] | Tensor) -> str | list[str]:
        """The text of ids."""
        ...

    def generate(self, *args: Any, **kwargs: Any) -> Any:
        """A continuation; `tlsteer.generate` is steered, batched and seeded."""
        ...

    def parameters(self, recurse: bool = ...) -> Iterator[nn.Parameter]:
        """The weights."""
        ...


_writing: ContextVar[Elsewhere | None] = ContextVar("writing", default=None)


def engine_in_force() -> Elsewhere | None:
    """The engine that writes texts here (see `Elsewhere.writing`)."""
    return _writing.get()


class Elsewhere(ABC):
    """A model that another engine runs: it writes texts and tells log-probabilities, each under its own interventions.

    It is taken in place of a model wherever no more than these is asked (see `tlsteer.serving`).

    Attributes:
        reference: the same model in TransformerLens, which texts are encoded for and vectors checked against.
    """

    reference: Any

    @abstractmethod
    def about(self) -> dict[str, str]:
        """Where results on it differ from those on `reference`: precision and device."""

    @abstractmethod
    def continued(
        self,
        rows: Sequence[Sequence[int]],
        writes: Sequence[Any],
        *,
        max_new_tokens: int,
        ends: Sequence[int],
        seeds: Sequence[int] | None = None,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> list[list[int]]:
        """The new ids of each prompt under writes, up to an end; greedy without seeds."""

    @abstractmethod
    def next_logprobs(
        self, rows: Sequence[Sequence[int]], writes: Sequence[Any], ids: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """Log-probabilities in nats of some ids after each prompt, under writes."""

    @abstractmethod
    def completion_logprobs(
        self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], writes: Sequence[Any]
    ) -> list[tuple[float, bool]]:
        """Log-probability in nats of each completion, and whether each of its tokens is the likeliest; under writes."""

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Inside, this engine writes the texts of `reference`; whatever else is asked of that runs as it does outside.

        >>> with engine.writing():
        ...     found = sweep_layers(engine.reference, train, test, measure="organism")
        """
        token = _writing.set(self)
        try:
            yield
        finally:
            _writing.reset(token)

    @property
    def cfg(self) -> Any:
        """Sizes and settings of the model."""
        return self.reference.cfg

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer."""
        return self.reference.tokenizer

    @property
    def hook_dict(self) -> Mapping[str, HookPoint]:
        """None can be reached."""
        self.refuse()

    def to_tokens(self, *given: Any, **settings: Any) -> Tensor:
        """See `Model`."""
        return self.reference.to_tokens(*given, **settings)

    def to_string(self, *given: Any, **settings: Any) -> str | list[str]:
        """See `Model`."""
        return self.reference.to_string(*given, **settings)

    def refuse(self, *_given: Any, **_settings: Any) -> NoReturn:
        """Raises ModelError: what looks into a model needs one that is here."""
        raise ModelError(
            f"{self.cfg.model_name!r} is run by {self}, which writes texts and tells log-probabilities of tokens; "
            "what looks into the model, or learns from it, takes the model itself, which is at .reference"
        )

    __call__ = run_with_cache = run_with_hooks = hooks = generate = parameters = refuse
