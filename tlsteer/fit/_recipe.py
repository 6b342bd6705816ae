"""What a one-shot fit is asked to do: examples, sites, and the settings of the optimisation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal, TypedDict, get_args

from torch import Tensor

from tlsteer._arguments import Seed, Whole, checked
from tlsteer.data import Example
from tlsteer.errors import DataError, PositionError, SiteError, VectorError
from tlsteer.fit._noise import Noise
from tlsteer.fit._objectives import Suppression
from tlsteer.operations import Ablate, Affine, Operation, operation_of
from tlsteer.positions import Positions, check_positions
from tlsteer.sites import Place, Site
from tlsteer.vectors import SteeringVector


class AimedSettings(TypedDict, total=False):
    """The settings of `OneShot` by keyword, but for what a fit aims at."""

    operation: Operation | str
    rank: int
    positions: Positions | Sequence[Positions]
    max_norm: float | None
    max_norm_ratio: float | None
    max_row_norm: float | None
    start_norm: float
    coldness: float
    learning_rate: float
    steps: int
    target_steps: int
    satisfice: bool
    tolerance: float
    suppression: Suppression
    noise: Noise
    seed: int
    start: SteeringVector | None
    per_token: bool
    minibatch: int | None
    eps: float
    history: bool


class OneShotSettings(AimedSettings, total=False):
    """The settings of `OneShot` by keyword."""

    target_loss: float | Sequence[float] | None
    target_of: Literal["sum", "each"]


@checked
@dataclass(frozen=True, eq=False)
class OneShot:
    """One optimisation: minimise over v the summed losses of completions under the steered model.

    Promotion is -log p, suppression -log(1 - p), summed over a completion's tokens (arXiv 2502.18862).

    Attributes:
        examples: one Example or several; completions of negative examples see -v.
        site: where v is written; several sites share the one vector.
        operation: what v is optimised for, as a value or by its name; "affine" learns L and R along with v.
        rank: rows of L and R of affine.
        positions: which tokens are steered (see `positions`); not a mask of columns. A list gives each example its own.
        max_norm: after each step a longer v is rescaled to this norm.
        max_norm_ratio: the cap as a fraction of the mean residual norm at the steered tokens of the examples.
        max_row_norm: cap of each row of L and R.
        start_norm: norm of the random start; the cap where that is smaller. L starts at zero.
        coldness: probabilities are softmax(coldness * logits).
        learning_rate: of Adam, betas 0.9 and 0.999.
        steps: at most this many.
        target_loss: stop when the loss, in nats, is at most this; a list gives each completion its own.
        target_of: whether one target is for the sum over completions, or for each of them.
        target_steps: the target has to hold for this many steps in a row.
        satisfice: minimise the squared difference from the target instead of the loss.
        tolerance: stop when the loss changes by less than this in a step.
        suppression: minimise -log(1 - p), or log p itself.
        noise: noise on v while it is optimised.
        seed: of the start, of the noise and of minibatches.
        start: a vector to start from, in place of a random one.
        per_token: take the mean of the loss over a completion's tokens, so that long ones do not weigh more.
        minibatch: how many of the examples, drawn anew, each step minimises; all by default. The losses of all are
            computed and noted, so it saves no time.
        eps: is added to p and 1 - p inside the logarithm, which bounds a token's loss; the authors' code has 1e-6.
        history: keep the vector before each step, as `history` of the fit.

    Raises:
        DataError: no example.
        VectorError: settings that contradict each other, are unknown or out of range.
        PositionError: unknown positions, or a mask of columns.

    >>> recipe = OneShot(example, 4, operation="clamp", steps=4)
    >>> fit_many(model, [recipe])[0].vector.operation.name
    'clamp'
    """

    examples: Example | Sequence[Example]
    site: Place | Sequence[Place]
    operation: Operation | str = "add"
    rank: Whole = 1
    positions: Positions | Sequence[Positions] = "all"
    max_norm: float | None = None
    max_norm_ratio: float | None = None
    max_row_norm: float | None = None
    start_norm: float = 1.0
    coldness: float = 0.7
    learning_rate: float = 0.1
    steps: Whole = 50
    target_loss: float | Sequence[float] | None = None
    target_of: Literal["sum", "each"] = "sum"
    target_steps: Whole = 1
    satisfice: bool = False
    tolerance: float = 1e-6
    suppression: Suppression = "one_minus_p"
    noise: Noise = field(default_factory=Noise)
    seed: Seed = 0
    start: SteeringVector | None = None
    per_token: bool = False
    minibatch: Whole | None = None
    eps: float = 0.0
    history: bool = False

    def __post_init__(self) -> None:
        for positions in self.all_positions:
            check_positions(positions)
            if isinstance(positions, Tensor):
                raise PositionError("a mask of columns does not fit completions of several lengths; use a slice")
        if len(self.all_positions) != len(self.all_examples):
            raise PositionError(f"{len(self.all_positions)} positions were given for {len(self.all_examples)} examples")
        if self.max_norm is not None and self.max_norm_ratio is not None:
            raise VectorError(f"give max_norm={self.max_norm} or max_norm_ratio={self.max_norm_ratio}, not both")
        for name in ("max_norm", "max_norm_ratio", "max_row_norm", "steps", "coldness", "learning_rate", "start_norm",
                     "target_steps", "rank", "minibatch"):  # fmt: skip
            if (value := getattr(self, name)) is not None and not value > 0:
                raise VectorError(f"{name}={value} has to be above 0")
        if not self.eps >= 0:
            raise VectorError(f"eps={self.eps} has to be 0 or more")
        others = sorted({type(one).__name__ for one in self.all_examples if not isinstance(one, Example)})
        if others or not self.all_examples:
            raise DataError(f"give at least one Example, and nothing else; got {', '.join(others) or 'none'}")
        for name, value, choices in (
            ("suppression", self.suppression, get_args(Suppression)),
            ("target_of", self.target_of, ("sum", "each")),
        ):
            if value not in choices:
                raise VectorError(f"{name}={value!r} is unknown; use one of {', '.join(choices)}")
        if not self.learns_map:
            object.__setattr__(self, "operation", operation_of(self.operation))
            if not self.applied().is_vector:
                raise VectorError(f'{self.operation!r} is there already; operation="affine" learns a map of a rank')
        if self.operation == Ablate():
            raise VectorError('operation="ablate" has no length to optimise; fit with Clamp(0) instead')
        if self.start is not None and self.learns_map:
            raise VectorError('a start is one vector, and operation="affine" learns a map as well; leave out start')
        if self.satisfice and self.target_loss is None:
            raise VectorError("satisfice=True needs a target_loss to come close to")

    @property
    def learns_map(self) -> bool:
        """Whether L and R are optimised along with v."""
        return self.operation == Affine.name

    def applied(self, left: Tensor | None = None, right: Tensor | None = None) -> Operation:
        """The operation in force, with the L and R that it has learnt so far."""
        return operation_of(self.operation) if left is None or right is None else Affine(left, right)

    @property
    def all_examples(self) -> list[Example]:
        """The examples as a list."""
        return [self.examples] if isinstance(self.examples, Example) else list(self.examples)

    @property
    def all_positions(self) -> list[Positions]:
        """The positions of each example."""
        own = self.positions
        return list(own) if isinstance(own, list | tuple) else [own] * len(self.all_examples)  # pyright: ignore

    def sites(self, n_layers: int) -> list[Site]:
        """The sites in a model of that many layers."""
        places = [self.site] if isinstance(self.site, Site | int | str) else self.site
        sites = [Site.of(place).resolve(n_layers) for place in places]
        if not sites or len(set(sites)) < len(sites):
            raise SiteError(f"give at least one site, and each once; got {list(places)}")
        return sites

    def plain(self, n_layers: int) -> OneShot:
        """The same recipe, however its sites and examples were written."""
        return replace(self, site=self.sites(n_layers), examples=self.all_examples)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings as JSON values, for provenance."""
        values = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in ("examples", "site")}
        plain = int | float | str | None
        return {k: v if isinstance(v, plain) else repr(v) for k, v in values.items()}
