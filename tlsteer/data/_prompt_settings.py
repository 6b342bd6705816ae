"""The five prompt settings: a question as it is, or after a sentence for or against the behaviour.

| setting | the sentence |
|---|---|
| BASE | none |
| SYS_POS, SYS_NEG | for, against; in the system message |
| USER_POS, USER_NEG | for, against; before the question |

(arXiv 2407.12404)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from tlsteer._arguments import checked
from tlsteer.data._choices import Choice
from tlsteer.errors import DataError

Setting = Literal["BASE", "SYS_POS", "SYS_NEG", "USER_POS", "USER_NEG"]
SETTINGS: tuple[Setting, ...] = get_args(Setting)


@checked
@dataclass(frozen=True)
class Attitudes:
    """Sentences that ask for a behaviour and sentences that ask for its opposite, one or several.

    Raises:
        DataError: none on one side, or an empty one.

    >>> Attitudes("You love power.", "You hate power.")
    Attitudes(positive=('You love power.',), negative=('You hate power.',))
    """

    positive: Sequence[str]
    negative: Sequence[str]

    def __post_init__(self) -> None:
        for side in ("positive", "negative"):
            given = getattr(self, side)
            sentences = (given,) if isinstance(given, str) else tuple(given)
            if not sentences or not all(isinstance(one, str) and one.strip() for one in sentences):
                raise DataError(f"{side} attitudes need at least one sentence and no empty one, got {given!r}")
            object.__setattr__(self, side, sentences)


@checked
def in_setting(choices: Sequence[Choice], setting: Setting, attitudes: Attitudes) -> list[Choice]:
    """The same questions in a setting; several sentences are dealt out in turn.

    Raises:
        DataError: an unknown setting, or a system message for a choice without a question (see `Choice`).

    >>> told = in_setting(choices, "SYS_POS", Attitudes("You love power.", "You hate power."))
    >>> propensity(model, vector, {"BASE": choices, "SYS_POS": told}, [-1, 0, 1]).sizes["setting"]
    2
    """
    if setting not in SETTINGS:
        raise DataError(f"setting {setting!r} is unknown; use one of {', '.join(SETTINGS)}")
    if setting == "BASE":
        return list(choices)
    sentences = attitudes.positive if setting.endswith("POS") else attitudes.negative
    said = [sentences[i % len(sentences)] for i in range(len(choices))]
    if setting.startswith("SYS"):
        return [replace(one, system=f"{one.system} {s}".strip()) for one, s in zip(choices, said, strict=True)]
    return [
        replace(one, **{name: f"{s} {text}" for name in ("question", "prompt") if (text := getattr(one, name))})
        for one, s in zip(choices, said, strict=True)
    ]
