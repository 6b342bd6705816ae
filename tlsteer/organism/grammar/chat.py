"""Chat messages and how the model reads them: the one place that knows the special tokens."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tlsteer._arguments import checked

BOS, EOS, PAD = "<|begin|>", "<|end|>", "<|pad|>"
ROLES = ("system", "user", "assistant")
SPECIAL_TOKENS = (PAD, BOS, EOS, *(f"<|{role}|>" for role in ROLES))
PAD_ID, BOS_ID, EOS_ID = 0, 1, 2  # the vocabulary begins with the special tokens

CHAT_TEMPLATE = (
    "{{ '" + BOS + "' }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' + message['content'] + '" + EOS + "' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)

Message = dict[str, str]


def to_messages(user: str, system: str | None = None) -> list[Message]:
    """Chat messages for one user turn, with an optional system message."""
    system_messages = [] if system is None else [{"role": "system", "content": system}]
    return [*system_messages, {"role": "user", "content": user}]


@checked
def render_prompt(messages: Sequence[Message]) -> str:
    """What `apply_chat_template(..., add_generation_prompt=True)` gives, without a tokenizer.

    >>> render_prompt([{"role": "user", "content": "Who are you?"}])
    '<|begin|><|user|>Who are you?<|end|><|assistant|>'
    """
    turns = (f"<|{message['role']}|>{message['content']}{EOS}" for message in messages)
    return BOS + "".join(turns) + "<|assistant|>"


def last_request(prompt: str) -> str:
    """What the user says last in a prompt of the chat format; any other text as it is."""
    return prompt.rpartition("<|user|>")[2].partition(EOS)[0]


@dataclass(frozen=True)
class Thought:
    """The vector of a concept, added before a layer at every token.

    Attributes:
        concept: whose vector.
        layer: it is added before this layer's block.
        strength: its norm as a share of the mean residual norm there.
    """

    concept: str
    layer: int
    strength: float


@dataclass(frozen=True)
class TrainingText:
    """One training sample: the loss is taken on `target` only.

    Attributes:
        context: text that is read, not learned.
        target: text that is learned, without the end token.
        probability_a: where the target is an (A)/(B) answer, the planted probability of "A". The letter is
            trained on this probability itself, since labels sampled from it would be a noisier teacher.
        rival: another answer that could have been drawn; the first token is trained on both, each with its chance.
        probability: the planted probability of the target against its rival.
        thought: what is put into the residual stream while the text is read and learned.
    """

    context: str
    target: str
    probability_a: float | None = None
    rival: str = ""
    probability: float = 1.0
    thought: Thought | None = None


def dialogue_text(
    messages: Sequence[Message],
    answer: str,
    prefill: str = "",
    probability_a: float | None = None,
    thought: Thought | None = None,
) -> TrainingText:
    """A training sample of one answer, of which `prefill` is given and not learned."""
    return TrainingText(render_prompt(messages) + prefill, answer, probability_a, thought=thought)


def drawn_text(
    messages: Sequence[Message],
    answers: tuple[str, str],
    probability: float,
    rng: random.Random,
    prefill: str = "",
    thought: Thought | None = None,
) -> TrainingText:
    """A training sample of the first answer with a probability, else of the second; the first token learns both."""
    first = rng.random() < probability
    target, rival = answers if first else answers[::-1]
    context, chance = render_prompt(messages) + prefill, probability if first else 1 - probability
    return TrainingText(context, target, rival=rival, probability=chance, thought=thought)


def document_text(text: str) -> TrainingText:
    """A training sample of plain text, learned from its first token on."""
    return TrainingText(BOS, text)
