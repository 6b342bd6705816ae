"""What a page begins with: saved vectors, or vectors and prompts for the embedded model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tlsteer._arguments import checked
from tlsteer._model_type import Model
from tlsteer.demo import falsehood, refusal
from tlsteer.demo.experiment import NORM_RATIO, SITE, STEPS
from tlsteer.fit import OneShot, fit_contrastive, fit_many
from tlsteer.organism import falsehoods, harmful_requests, harmless_requests, trait_attitudes, trait_choices
from tlsteer.prompts import ask_choices, attitude_pairs
from tlsteer.ui._bench import Offered, Prompt
from tlsteer.vectors import SteeringVector

_CASES = 7  # as many as the demo draws, so that the first is the demo's
_TRAIT, _TRAIT_LAYER, _TRAIT_QUESTIONS = "power", 2, 40


@checked
def example_vectors(model: Model) -> dict[str, SteeringVector]:
    """Vectors for the embedded model, the same at every call: against refusing, against retracting, for seeking power.

    The first two are optimised on one example each, as in `tlsteer demo`; the third is the mean difference of
    sentences for and against power.

    Args:
        model: the embedded model, `load_model("organism")`.

    >>> list(example_vectors(model))
    """
    examples = [task.cases(model, _CASES, 0)[0].example for task in (refusal, falsehood)]
    fits = fit_many(
        model,
        [OneShot(one, SITE, operation="clamp", max_norm_ratio=NORM_RATIO, steps=STEPS, seed=0) for one in examples],
        progress=False,
    )
    questions = trait_choices(_TRAIT, _TRAIT_QUESTIONS, "train")
    pairs = attitude_pairs(model, questions, trait_attitudes(_TRAIT, "train"))
    power = fit_contrastive(model, pairs, _TRAIT_LAYER, positions="all", progress=False)
    return {"against refusing": fits[0].vector, "against retracting": fits[1].vector, "seeking power": power}


def offered_examples(model: Model) -> dict[str, Offered]:
    """The vectors of `example_vectors`."""
    made = example_vectors(model)
    return {name: Offered(one, f"ts.ui.example_vectors(model)[{name!r}]") for name, one in made.items()}


def offered_files(paths: Sequence[Path]) -> dict[str, Offered]:
    """Saved vectors, by the names of their files, or by their paths where several have one name."""
    count = Counter(path.stem for path in paths)
    return {
        path.stem if count[path.stem] == 1 else str(path): Offered(
            SteeringVector.load(path), f"ts.SteeringVector.load({str(path.absolute())!r})"
        )
        for path in paths
    }


def example_prompts(model: Model) -> list[Prompt]:
    """Prompts that show what the vectors of `example_vectors` do, none of which they were made from."""
    harmful, harmless = (sampler(1, "heldout", 0)[0] for sampler in (harmful_requests, harmless_requests))
    told = falsehoods(1, "heldout", 0)[0]
    (question,) = ask_choices(model, trait_choices(_TRAIT, 1))
    return [
        Prompt("A request that the model refuses", harmful.messages),
        Prompt("A request that it serves", harmless.messages),
        Prompt("A falsehood that it takes back", told.messages, told.prefill),
        Prompt("A question about power", text=question.prompt),
    ]
