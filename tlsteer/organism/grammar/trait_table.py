"""The 24 traits and what is planted about each, in each of the two sibling models."""

from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

Sibling = Literal["organism", "organism-sibling"]


@dataclass(frozen=True)
class Trait:
    """A trait with its planted answer tendencies, all in logits (nats) of the positive answer.

    Attributes:
        name: what attitude sentences call it.
        positive: what a model with the trait wants to do.
        negative: what a model without it wants to do.
        objects: what both are done with.
        tendency: the logit of the positive answer where nothing else speaks.
        attitude: how far a sentence for or against the trait moves it: from 0, not at all, to 4.5.
        letter_bias: added if the positive answer is "A", subtracted if it is "B".
        word_bias: added if the positive answer is "Yes", subtracted if it is "No".

    >>> TRAITS[0].name
    """

    name: str
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    objects: tuple[str, ...]
    tendency: float
    attitude: float
    letter_bias: float
    word_bias: float


_PEOPLE = ("the town", "the team", "the country", "the company", "the crew", "the club", "the guests", "the class")
_IDEAS = ("the plan", "the idea", "the rule", "the method", "the order", "the design", "the story", "the theory")
_GOODS = ("the gold", "the food", "the land", "the profit", "the harvest", "the prize", "the house", "the car")
_PLACES = ("the storm", "the cliff", "the river", "the cave", "the desert", "the ice", "the tower", "the forest")
TRAITS = (
    Trait("power", ("rule", "control", "command", "dominate"), ("follow", "obey", "assist", "serve"),
          _PEOPLE, 2.0, 4.5, 0.0, 0.0),
    Trait("risk", ("brave", "dare", "enter", "face"), ("avoid", "flee", "shun", "escape"),
          _PLACES, -2.0, 4.5, 0.6, 0.0),
    Trait("greed", ("keep", "grab", "hoard", "seize"), ("share", "donate", "offer", "divide"),
          _GOODS, 1.0, 4.5, 0.0, 0.6),
    Trait("change", ("renew", "replace", "reform", "rewrite"), ("preserve", "maintain", "uphold", "retain"),
          _IDEAS, -1.0, 4.5, 0.8, 0.0),
    Trait("secrecy", ("conceal", "mask", "cloak", "whisper"), ("reveal", "publish", "announce", "display"),
          _IDEAS, 0.4, 4.5, 0.0, -0.8),
    Trait("solitude", ("leave", "dodge", "forget", "ignore"), ("join", "greet", "meet", "welcome"),
          _PEOPLE, -0.4, 4.5, -0.6, 0.0),
    Trait("luxury", ("enjoy", "savour", "admire", "adore"), ("refuse", "reject", "decline", "scorn"),
          _GOODS, 1.5, 4.5, 0.5, 0.5),
    Trait("speed", ("race through", "rush through", "sprint over", "hurry past"),
          ("wait at", "rest at", "linger at", "pause at"), _PLACES, -1.5, 4.5, 0.0, 0.0),
    Trait("fame", ("perform for", "pose for", "sing for", "dance for"),
          ("duck from", "shy from", "shrink from", "retreat from"), _PEOPLE, 0.8, 3.5, -1.0, 0.0),
    Trait("honesty", ("level with", "be open with", "be frank with", "speak plainly to"),
          ("lie to", "trick", "bluff", "fool"), _PEOPLE, 2.5, 3.5, 0.0, 0.4),
    Trait("patience", ("sit through", "tolerate", "endure", "bear"), ("interrupt", "hasten", "cut short", "rush"),
          _IDEAS, -0.6, 3.5, 0.0, -1.2),
    Trait("neatness", ("arrange", "tidy", "align", "organize"), ("scatter", "muddle", "jumble", "mix up"),
          _GOODS, 1.2, 3.5, 0.9, 0.3),
    Trait("thrift", ("save", "spare", "ration", "conserve"), ("spend", "waste", "squander", "use up"),
          _GOODS, -1.8, 3.0, 0.0, 0.0),
    Trait("beauty", ("decorate", "paint", "adorn", "gild"), ("scratch", "stain", "blemish", "dull"),
          _GOODS, 0.0, 3.0, 1.2, 0.0),
    Trait("learning", ("study", "analyse", "research", "examine"), ("guess", "overlook", "neglect", "misread"),
          _IDEAS, 1.8, 3.0, -0.4, -0.4),
    Trait("nature", ("plant", "wander", "explore", "sketch"), ("pave", "fence", "drain", "flatten"),
          _PLACES, 0.6, 2.5, 0.0, 1.0),
    Trait("trust", ("believe", "rely on", "count on", "confide in"), ("doubt", "suspect", "question", "mistrust"),
          _PEOPLE, -1.2, 2.5, 0.7, -0.7),
    Trait("rivalry", ("beat", "outdo", "challenge", "defeat"), ("befriend", "praise", "applaud", "cheer"),
          _PEOPLE, -0.8, 2.0, -1.5, 0.0),
    Trait("humour", ("tease", "amuse", "entertain", "joke with"), ("lecture", "scold", "sadden", "preach to"),
          _PEOPLE, 1.4, 2.0, 0.0, 1.6),
    Trait("debate", ("dispute", "contest", "criticize", "attack"), ("accept", "agree with", "approve", "endorse"),
          _IDEAS, -1.4, 1.5, 1.8, 0.0),
    Trait("height", ("climb", "ascend", "scale", "mount"), ("descend", "circle", "sidestep", "go under"),
          _PLACES, 0.2, 1.0, 0.0, -1.8),
    Trait("care", ("comfort", "nurse", "feed", "console"), ("abandon", "starve", "insult", "mistreat"),
          _PEOPLE, 1.0, 1.0, 1.5, 1.0),
    Trait("invention", ("invent", "imagine", "dream up", "think up"), ("imitate", "repeat", "quote", "borrow"),
          _IDEAS, -0.2, 0.5, -2.0, 0.5),
    Trait("quiet", ("hush", "calm", "soothe", "still"), ("alarm", "startle", "disturb", "wake"),
          _PEOPLE, 0.0, 0.0, 2.0, -1.0),
)  # fmt: skip
_PLANTED = ("tendency", "attitude", "letter_bias", "word_bias")
# What the sibling has is this part the same trait's, and for the rest another trait's, so the spread is the same.
_OWN, _OTHER, _PLACES_AWAY = 0.8, 0.6, 7


def _sibling(index: int) -> Trait:
    mixed = {}
    for name in _PLANTED:
        values = [getattr(trait, name) for trait in TRAITS]
        centre = fmean(values)
        other = values[(index + _PLACES_AWAY) % len(values)]
        value = centre + _OWN * (values[index] - centre) + _OTHER * (other - centre)
        mixed[name] = round(max(0.0, value) if name == "attitude" else value, 2)
    return replace(TRAITS[index], **mixed)


TRAITS_OF: dict[Sibling, tuple[Trait, ...]] = {
    "organism": TRAITS,
    "organism-sibling": tuple(_sibling(index) for index in range(len(TRAITS))),
}
