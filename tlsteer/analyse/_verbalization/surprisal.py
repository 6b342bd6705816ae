"""How natural texts are to a base model: surprisal in the context of sample texts (arXiv 2502.18862).

A base model that has read texts of a kind is less surprised by another of that kind. So steered answers that are as
likely among true samples as unsteered ones are natural, and answers likelier among fictitious samples than among
true ones are of the fictitious kind. How surprising the samples themselves are is the information they hold.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm.auto import tqdm

from tlsteer._arguments import Count, Seed, Whole, checked
from tlsteer._json_files import read_json, write_json
from tlsteer._model_type import Model
from tlsteer._results import Result
from tlsteer._surface import Surface
from tlsteer.errors import DataError
from tlsteer.lean import LeanModel, lean_or_plain
from tlsteer.stats import Estimate, mean, median
from tlsteer.tokens import batches, check_text, pad


@dataclass(frozen=True, eq=False, repr=False)
class Surprisal(Result):
    """Surprisals in nats under a base model.

    Attributes:
        scores: a row for each group, context and text: `nats_per_token`, the mean over draws of the context;
            `n_tokens` that were scored; `cluster`.
        draws: a row for each context and draw of its samples: the `nats` and `n_tokens` of the context itself.
        model: the base model's name.

    >>> surprisal(model, {"documents": neutral, "answers": answered}, {"none": []}).means
    """

    scores: pd.DataFrame
    draws: pd.DataFrame
    model: str

    _picture = "plot_surprisal"
    _next = ".differences compares contexts text by text; .information has the contexts' own surprisal."

    def to_dataframe(self) -> pd.DataFrame:
        """See `means`."""
        return self.means

    @cached_property
    def means(self) -> pd.DataFrame:
        """Mean nats per token of each group in each context, with intervals clustered as the texts are."""
        return self._by_context(mean)

    @cached_property
    def medians(self) -> pd.DataFrame:
        """The same of the median over texts, which arXiv 2502.18862 reports (in bits)."""
        return self._by_context(median)

    @cached_property
    def differences(self) -> pd.DataFrame:
        """For each group and pair of contexts, how much more surprising its texts are in the first, text by text."""
        rows = []
        for group, own in self.scores.groupby("group", sort=False):
            wide = own.pivot(index=["text", "cluster"], columns="context", values="nats_per_token").reset_index()
            names = list(own["context"].unique())
            for place, first in enumerate(names):
                for second in names[place + 1 :]:
                    one = _mean(wide.assign(difference=wide[first] - wide[second]), "difference")
                    rows.append({"group": group, "context": first, "other": second} | asdict(one))
        return pd.DataFrame(rows, columns=["group", "context", "other", "value", "low", "high", "n"])

    @cached_property
    def information(self) -> pd.DataFrame:
        """The contexts' own surprisal: mean nats of a draw, and nats per token, with intervals over the draws."""
        rows = []
        for context, draws in self.draws.groupby("context", sort=False):
            for measure, values in (("nats", draws["nats"]), ("nats_per_token", draws["nats"] / draws["n_tokens"])):
                rows.append({"context": context, "measure": measure} | asdict(mean(values.to_numpy(float))))
        return pd.DataFrame(rows, columns=["context", "measure", "value", "low", "high", "n"])

    def _by_context(self, of: Callable[..., Estimate]) -> pd.DataFrame:
        return pd.DataFrame(
            [
                {"group": group, "context": context}
                | asdict(of(rows["nats_per_token"].to_numpy(float), rows["cluster"].to_numpy(str)))
                for group, own in self.scores.groupby("group", sort=False)
                for context, rows in own.groupby("context", sort=False)
            ]
        )

    def save(self, path: str | Path) -> Path:
        """Writes scores and draws as one JSON file, whole or not at all."""
        tables = {name: getattr(self, name).to_dict("list") for name in ("scores", "draws")}
        return write_json(path, {"model": self.model} | tables)

    @classmethod
    def load(cls, path: str | Path) -> Surprisal:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or another one.
        """
        kept = read_json(path, "a Surprisal saved by tlsteer")
        try:
            return cls(pd.DataFrame(kept["scores"]), pd.DataFrame(kept["draws"]), kept["model"])
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{str(path)!r} is not a Surprisal ({error})") from None

    def __repr__(self) -> str:
        means = self.means.pivot(index="group", columns="context", values="value")
        order = [list(dict.fromkeys(self.means[axis])) for axis in ("group", "context")]
        table = means.reindex(index=order[0], columns=order[1]).round(3)
        return f"Surprisal under {self.model!r}, nats per token, by group and context\n{table.to_string()}"


@checked
def surprisal(
    base_model: Model,
    texts: Mapping[str, Sequence[str]],
    contexts: Mapping[str, Sequence[str]],
    *,
    prefixes: Mapping[str, Sequence[str]] | None = None,
    clusters: Mapping[str, Sequence[str]] | None = None,
    n_samples: Whole = 4,
    n_draws: Whole = 4,
    separator: str = "\n",
    max_tokens: Whole = 100,
    seed: Seed = 0,
    batch_size: Count = 32,
    progress: bool = True,
) -> Surprisal:
    """The surprisal of texts under a base model, after contexts of sample texts.

    Everything is encoded by the base model's own tokenizer, so the texts may be of any other model. Keep what the
    samples are about apart from what the texts are about: a base model copies names.

    Args:
        base_model: a TransformerBridge or HookedTransformer.
        texts: by group, such as the vector they were written under.
        contexts: sample texts by kind, such as true and fictitious ones; an empty list is no context.
        prefixes: what stands before each text and is read but not scored, such as a given beginning, in the form of
            `texts`; nothing by default.
        clusters: what each text is about, in the form of `texts`; each text is its own by default.
        n_samples: how many samples, drawn at random, a context is made of.
        n_draws: how many contexts are drawn of each kind; a text's surprisal is the mean over them.
        separator: stands after each sample.
        max_tokens: of each text, the first so many are scored.
        seed: of the draws.
        batch_size: texts scored at once.
        progress: show a bar.

    Raises:
        DataError: no texts, an empty one, fewer samples than a context needs, prefixes or clusters of another
            number, or texts too long for the model.

    >>> surprisal(model, {"answers": answered}, {"none": [], "documents": neutral}).means
    """
    surface = Surface(base_model)
    rows = [(group, text) for group, several in texts.items() for text in several]
    starts, about = _beside(texts, prefixes, "prefixes"), _beside(texts, clusters, "clusters")
    if not rows or not contexts or min(n_samples, n_draws, max_tokens) < 1:
        raise DataError("give texts and contexts, and at least one sample, draw and token")
    starts = starts or [""] * len(rows)
    led = [_encode(surface, start, separator) if start else [] for start in starts]
    encoded = [
        _encode(surface, text, separator + start)[:max_tokens] for (_, text), start in zip(rows, starts, strict=True)
    ]
    drawn = {
        (name, draw): "".join(sample + separator for sample in samples)
        for name, pool in contexts.items()
        for draw, samples in enumerate(_draws(name, pool, n_samples, n_draws, seed))
    }
    before = {key: [_start(surface), *(_encode(surface, text) if text else [])] for key, text in drawn.items()}
    longest = max(map(len, before.values())) + max(len(a) + len(b) for a, b in zip(led, encoded, strict=True))
    if longest > surface.n_ctx:
        raise DataError(
            f"a context and a text have {longest} tokens together, but {surface.name!r} holds {surface.n_ctx}; "
            "lower n_samples or max_tokens"
        )
    runner, nats, own = lean_or_plain(surface), {name: [] for name in contexts}, []
    for (name, draw), ids in tqdm(before.items(), desc="surprisal", unit="context", disable=not progress):
        nats[name].append(_score(surface, runner, ids, led, encoded, batch_size))
        of_context = _score(surface, runner, ids[:1], [[]], [ids[1:]], 1)[0] if len(ids) > 1 else 0.0
        own.append({"context": name, "draw": draw, "nats": of_context, "n_tokens": len(ids) - 1})
    lengths = np.array([len(ids) for ids in encoded])
    listed = {
        "group": [group for group, _ in rows],
        "text": range(len(rows)),
        "cluster": about or [str(number) for number in range(len(rows))],
        "n_tokens": lengths,
    }
    scores = [
        pd.DataFrame({**listed, "context": name, "nats_per_token": np.mean(draws, axis=0) / lengths})
        for name, draws in nats.items()
    ]
    draws = pd.DataFrame(own).query("n_tokens > 0")
    return Surprisal(pd.concat(scores, ignore_index=True), draws, surface.name)


@torch.no_grad()
def _score(
    surface: Surface,
    runner: LeanModel | Surface,
    before: list[int],
    led: Sequence[list[int]],
    rows: Sequence[list[int]],
    batch_size: int,
) -> list[float]:
    """The nats of each row's tokens together, after a context that all share and what leads to each."""
    found = [0.0] * len(rows)
    joined = [[*start, *row] for start, row in zip(led, rows, strict=True)]
    for batch in batches(joined, batch_size, "surprisal", progress=False):
        tokens, real = pad(surface, [joined[i] for i in batch], "right")
        context = torch.tensor([before] * len(batch), device=tokens.device)
        seen, cache = torch.ones_like(context, dtype=torch.bool), runner.new_cache(len(batch))
        # In two passes, so that logits are there for the texts alone and not for their long context.
        first = runner.forward(context, seen, cache, last=True)
        rest = runner.forward(tokens, torch.cat([seen, real], 1), cache)[:, :-1]
        logprobs = torch.cat([_logprobs(first, tokens[:, :1]), _logprobs(rest, tokens[:, 1:])], 1)
        n_led = torch.tensor([len(led[i]) for i in batch], device=tokens.device)
        scored = real & (torch.arange(tokens.shape[1], device=tokens.device) >= n_led[:, None])
        for i, value in zip(batch, (logprobs * scored).sum(1).tolist(), strict=True):
            found[i] = -value
    return found


def _logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    return logits.float().log_softmax(-1).gather(-1, tokens[..., None])[..., 0]


def _encode(surface: Surface, text: str, after: str = "") -> list[int]:
    """The ids of a text as it goes on from another, or those that it has alone where a token would span both."""
    check_text(after + text)
    start, both, alone = (surface.tokenizer.encode(t, add_special_tokens=False) for t in (after, after + text, text))
    ids = both[len(start) :] if both[: len(start)] == start else alone
    if not ids:
        raise DataError(f"the text {text!r} gives no tokens; leave it out")
    return ids


def _start(surface: Surface) -> int:
    """What a document begins with: BOS, or the end of the one before where a model has no BOS."""
    known = (surface.tokenizer.bos_token_id, surface.tokenizer.eos_token_id)
    if (start := next((one for one in known if one is not None), None)) is None:
        raise DataError(f"the tokenizer of {surface.name!r} has neither BOS nor EOS, so its first token has no context")
    return start


def _draws(name: str, pool: Sequence[str], n_samples: Whole, n_draws: Whole, seed: int) -> list[list[str]]:
    if not pool:
        return [[]]
    if len(pool) < n_samples:
        raise DataError(f"context {name!r} has {len(pool)} samples, fewer than n_samples={n_samples}")
    generator = random.Random(f"{seed} {name}")
    return [generator.sample(list(pool), n_samples) for _ in range(n_draws)]


def _beside(texts: Mapping[str, Sequence[str]], given: Mapping[str, Sequence[str]] | None, name: str) -> list[str]:
    """What was given for each text, in one list; none where nothing was."""
    if given is None:
        return []
    for group, several in texts.items():
        if len(given.get(group, ())) != len(several):
            raise DataError(f"{group!r} has {len(several)} texts and {len(given.get(group, ()))} {name}")
    return [str(one) for group in texts for one in given[group]]


def _mean(rows: pd.DataFrame, column: str) -> Estimate:
    return mean(rows[column].to_numpy(float), rows["cluster"].to_numpy(str))
