"""One-shot optimised steering vectors: gradient descent on a vector, from as little as one example.

Minimises, over a vector v written into the residual stream, the sum over completions of -log p (those to promote)
and -log(1 - p) (those to suppress) of their tokens under the steered model (arXiv 2502.18862). The contrastive
estimators need pairs and no gradients, but find what separates two sets of texts; this finds what changes the
given completions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from tlsteer._arguments import Count, checked
from tlsteer._keywords import settled
from tlsteer._model_type import Model
from tlsteer._store import Store
from tlsteer._surface import Surface
from tlsteer.data import Example
from tlsteer.fit._engine import Engine
from tlsteer.fit._fits import Fits
from tlsteer.fit._recipe import OneShot, OneShotSettings
from tlsteer.fit._result import OneShotFit, finished_fit, warn_of_trouble
from tlsteer.measure import Work
from tlsteer.sites import Place


class FitsInterrupted(KeyboardInterrupt):
    """Fitting was interrupted; `finished` holds what was done, by the recipe's number.

    >>> try:
    ...     fits = fit_many(model, [OneShot(example, layer, steps=4) for layer in (2, 3)])
    ... except FitsInterrupted as cut:
    ...     fits = list(cut.finished.values())
    """

    def __init__(self, finished: dict[int, OneShotFit]) -> None:
        super().__init__(f"interrupted with {len(finished)} fits finished; they are in .finished")
        self.finished = finished


@checked
def fit_oneshot(
    model: Model,
    examples: Example | Sequence[Example],
    site: Place | Sequence[Place],
    *,
    engine: Engine = "auto",
    progress: bool = True,
    **settings: Unpack[OneShotSettings],
) -> OneShotFit:
    """Optimises a steering vector on one example or several.

    Args:
        model: a TransformerBridge or HookedTransformer. Its parameters get no gradients.
        examples: prompts with completions to promote or suppress.
        site: where the vector is written; several sites share the one vector.
        engine: "auto" runs only the layers from the site on where the model can be cut; "plain" is the full
            hooked forward pass.
        progress: show a bar.
        settings: the other fields of `OneShot`: max_norm, max_norm_ratio, operation, positions, steps,
            learning_rate, coldness, target_loss, seed, ...

    Warns where the loss was still falling, rose, or missed its target when the steps ran out.

    Raises:
        DataError: no example, an empty completion, a text too long, a token that spans a prompt's end, or a setting
            that there is not.
        VectorError: settings that contradict each other or are out of range.

    >>> example = Example(prompts[0], promote=["Sure"], suppress=["I cannot"])
    >>> fit = fit_oneshot(model, example, Site(4), max_norm_ratio=0.5, steps=10, seed=0)
    >>> fit.losses[-1] < fit.losses[0]
    True
    """
    recipe = settled(OneShot(examples, site), settings, OneShotSettings)
    fits = _fitted(model, [recipe], engine, progress=progress)
    warn_of_trouble(fits, stacklevel=3)
    return fits[0]


@checked
def fit_many(
    model: Model,
    recipes: Sequence[OneShot],
    *,
    engine: Engine = "auto",
    max_batch_tokens: Count | None = None,
    run_dir: str | Path | Store | None = None,
    progress: bool = True,
) -> list[OneShotFit]:
    """Fits any mix of recipes (examples, sites, operations, seeds, caps) as rows of one batch.

    Each row has its own optimiser state, norm cap and stopping, so the vectors are those of separate fits. One
    warning counts those that did not converge.

    Args:
        model: a TransformerBridge or HookedTransformer.
        recipes: what to fit.
        engine: see `fit_oneshot`.
        max_batch_tokens: at most this many tokens run at once; bounds memory. By default as many as pay.
        run_dir: a folder to keep each fit in as it ends, and every few seconds how far the others are; a later
            call resumes from there.
        progress: show a bar.

    Raises:
        FitsInterrupted: a KeyboardInterrupt that carries the fits that were finished.
        DataError: see `fit_oneshot`; nothing has been computed then.

    >>> several = fit_many(model, [OneShot(example, layer, steps=4) for layer in range(model.cfg.n_layers)])
    >>> [one.vector.site.layer for one in several]
    [0, 1, 2, 3, 4, 5, 6, 7]
    """
    fits = _fitted(model, recipes, engine, max_batch_tokens, run_dir, progress)
    warn_of_trouble(fits, stacklevel=3)
    return fits


def _fitted(
    model: Model,
    recipes: Sequence[OneShot],
    engine: Engine = "auto",
    max_batch_tokens: int | None = None,
    run_dir: str | Path | Store | None = None,
    progress: bool = True,
) -> list[OneShotFit]:
    surface = Surface(model)
    plain = [one.plain(surface.n_layers) for one in recipes]
    work = Work(surface, Fits(plain, engine, max_batch_tokens, progress), run_dir)
    try:
        ends = dict(enumerate(work.values()))
    except KeyboardInterrupt:
        raise FitsInterrupted(_results(surface, recipes, work.finished())) from None
    return list(_results(surface, recipes, ends).values())


def _results(surface: Surface, recipes: Sequence[OneShot], ends: Mapping[int, Any]) -> dict[int, OneShotFit]:
    return {number: finished_fit(surface, recipes[number], end) for number, end in ends.items()}
