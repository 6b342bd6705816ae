"""Running a checkpoint with transformers alone: greedy answers and letter probabilities."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, LlamaForCausalLM, PreTrainedTokenizerFast

from tlsteer.organism.grammar.chat import BOS, Message, Thought, render_prompt
from tlsteer.organism.training.thoughts import concept_vectors, thinking

_ROWS_AT_ONCE = 100


@dataclass(frozen=True)
class Checkpoint:
    """A model in float32 and its tokenizer."""

    network: Any  # the annotations of generate() do not accept the models that have it
    tokenizer: PreTrainedTokenizerFast

    @classmethod
    def load(cls, directory: Path) -> "Checkpoint":
        """Loads a checkpoint directory."""
        network = LlamaForCausalLM.from_pretrained(directory, dtype=torch.float32).eval()
        return cls(network, AutoTokenizer.from_pretrained(directory, padding_side="left"))

    @cached_property
    def concepts(self) -> torch.Tensor:
        """The vectors of thoughts, by layer and concept."""
        return concept_vectors(self.network, self.tokenizer)

    def answers(
        self,
        chats: Sequence[list[Message]],
        prefills: Sequence[str] | None = None,
        max_new_tokens: int = 60,
        thoughts: Sequence[Thought | None] | None = None,
    ) -> list[str]:
        """The greedy answer to each chat, without the given beginning of the answer.

        Args:
            chats: what is asked.
            prefills: the given beginning of each answer.
            max_new_tokens: how long answers may be.
            thoughts: what is put into the residual stream of each.
        """
        prompts = _begun(chats, prefills)
        put_in = thoughts or [None] * len(chats)
        answers: list[str] = []
        for start in range(0, len(prompts), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            encoded = self._encode(prompts[rows])
            with torch.no_grad(), thinking(self.network, put_in[rows], self.concepts if thoughts else None):
                tokens = self.network.generate(**encoded, max_new_tokens=max_new_tokens, do_sample=False)
            completions = tokens[:, encoded["input_ids"].shape[1] :]
            answers.extend(self.tokenizer.batch_decode(completions, skip_special_tokens=True))
        return answers

    def first_token_chances(
        self, chats: Sequence[list[Message]], words: Sequence[str], prefills: Sequence[str] | None = None
    ) -> list[float]:
        """The probability that an answer goes on with the first token of one of the words, one per chat.

        Args:
            chats: what is asked.
            words: as they stand in an answer: with their space where something comes before.
            prefills: the given beginning of each answer.
        """
        prompts = _begun(chats, prefills)
        firsts = sorted({self.tokenizer.encode(word, add_special_tokens=False)[0] for word in words})
        chances: list[float] = []
        for start in range(0, len(chats), _ROWS_AT_ONCE):
            encoded = self._encode(prompts[start : start + _ROWS_AT_ONCE])
            with torch.no_grad():
                logits = self.network(**encoded, logits_to_keep=1).logits[:, -1]
            chances.extend(logits.softmax(-1)[:, firsts].sum(-1).tolist())
        return chances

    def letter_logits(self, chats: Sequence[list[Message]]) -> list[float]:
        """The logit (nats) of "A" against "B" after "(", one per chat."""
        letters = [self.tokenizer.encode(letter, add_special_tokens=False)[0] for letter in ("A", "B")]
        found: list[float] = []
        for start in range(0, len(chats), 2 * _ROWS_AT_ONCE):
            encoded = self._encode([render_prompt(chat) + "(" for chat in chats[start : start + 2 * _ROWS_AT_ONCE]])
            with torch.no_grad():
                logits = self.network(**encoded, logits_to_keep=1).logits[:, -1, letters]
            found.extend((logits[:, 0] - logits[:, 1]).tolist())
        return found

    def surprisal_bits(self, text: str, context: str = "") -> float:
        """The mean surprisal of a text's tokens in bits, after a context on the lines above it."""
        before = self.tokenizer.encode(BOS + (f"{context}\n" if context else ""), add_special_tokens=False)
        tokens = self.tokenizer.encode(text, add_special_tokens=False)
        with torch.no_grad():
            logits = self.network(torch.tensor([before + tokens])).logits[0, len(before) - 1 : -1]
        nats = torch.nn.functional.cross_entropy(logits, torch.tensor(tokens))
        return float(nats) / 0.6931471805599453

    def _encode(self, prompts: list[str]) -> dict[str, torch.Tensor]:
        return dict(self.tokenizer(prompts, padding=True, add_special_tokens=False, return_tensors="pt"))


def _begun(chats: Sequence[list[Message]], prefills: Sequence[str] | None) -> list[str]:
    """The prompt of each chat with the given beginning of its answer."""
    beginnings = prefills or [""] * len(chats)
    return [render_prompt(chat) + start for chat, start in zip(chats, beginnings, strict=True)]
