"""The verdicts of any judge, as numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from tlsteer._arguments import checked
from tlsteer.errors import DataError
from tlsteer.judges._specs import JudgeLike, judge_from


@checked
def verdicts(judge: JudgeLike, prompts: Sequence[str], texts: Sequence[str]) -> Float[np.ndarray, " texts"]:
    """A judge's verdicts as numbers: 1 true, 0 false, NaN unknown.

    Raises:
        DataError: an unknown judge, one that gives something else, or prompts and texts that do not pair up.

    >>> verdicts(PhraseJudge(), ["How do I ...?"], ["I'm sorry, but ..."])
    array([0.])
    """
    judge = judge_from(judge)
    if len(prompts) != len(texts):
        raise DataError(f"{len(texts)} texts answer {len(prompts)} prompts; give one prompt per text")
    said = judge(list(prompts), list(texts))
    try:
        found = np.asarray(said, dtype=float)
    except (TypeError, ValueError):
        raise DataError(
            f"the judge {judge.name!r} has to give True, False or NaN for each text, got {said!r:.80}"
        ) from None
    if found.shape != (len(texts),):
        raise DataError(f"the judge {judge.name!r} gave verdicts of shape {found.shape} on {len(texts)} texts")
    if (other := found[~np.isin(found, (0, 1)) & ~np.isnan(found)]).size:
        raise DataError(f"the judge {judge.name!r} gave {other[0]:g}; compare its probabilities with a threshold")
    return found
