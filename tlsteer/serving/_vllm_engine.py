"""A model that vLLM runs, in which each request is steered in its own way."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tlsteer._arguments import checked
from tlsteer._model_type import Elsewhere
from tlsteer._surface import Surface
from tlsteer._version import __version__
from tlsteer.errors import DataError, ModelError
from tlsteer.loading._hub import Source
from tlsteer.models import load_model
from tlsteer.serving._request_writes import ARGUMENT, TAG, as_text, salt_of, writes_of_rows
from tlsteer.serving._served_receipts import receipt_of
from tlsteer.serving._vllm_proof import refused_stages
from tlsteer.serving._vllm_versions import check_vllm, choose_runner
from tlsteer.steering import Write
from tlsteer.steering._receipts import collect

WORKER = "tlsteer.serving._vllm_worker.SteeringWorker"
# What steering relies on, or has not been tested with.
_OWN = {
    "worker_cls": "it is the one that steers",
    "compilation_config": "a graph of the device's would replay a step without asking what it steers",
    "additional_config": "it keeps what is compiled here apart from what vLLM compiles elsewhere",
    "pipeline_parallel_size": "models are steered in one stage; use tensor_parallel_size",
    "data_parallel_size": "start several engines instead",
    "speculative_config": "drafted tokens have not been tested with steering",
    "revision": "the reference has to be the same model; give the directory of one",
    "quantization": "the reference has to be the same model",
    "hf_overrides": "the reference has to be the same model",
    "max_logprobs": "it is the size of the vocabulary",
    "logprobs_mode": "log-probabilities are those of the model",
}


class VLLM(Elsewhere):
    """A model that vLLM runs, taken by `generate`, `attack_success`, sweeps of texts, choices and judges.

    Requests that are steered in different ways, and not at all, run in one continuous batch. Hooks, fits and whatever
    else looks into a model take `engine.reference`, the same weights in TransformerLens, on the CPU by default.

    Before anything else a steered and an unsteered text are compared with those of the reference, at every stage; an
    architecture whose residual stream stands elsewhere than known is refused.

    Attributes:
        reference: the same weights in TransformerLens.
        refused: the stages at which the model is not steered, with the reason.
        version: of vLLM.

    Args:
        model: "organism", a Hugging Face id, or a local directory; see `load_model`.
        dtype: as `load_model` takes it.
        device: where the reference is, on which vectors are fitted.
        settings: of vLLM's `LLM`, such as tensor_parallel_size, max_model_len and gpu_memory_utilization. Models are
            compiled, without CUDA graphs; enforce_eager=True starts sooner and runs them as they are.

    Raises:
        ModelError: no vLLM, or one that has not been tested; settings that steering relies on; a model that vLLM does
            not run, or that is not steered there as in TransformerLens.

    >>> engine = ts.serving.VLLM("google/gemma-2-2b-it", dtype="bfloat16")  # doctest: +SKIP
    >>> texts = ts.generate(engine, prompts, ts.Intervention(vectors, multipliers))  # doctest: +SKIP
    """

    @checked
    def __init__(self, model: str | Path, *, dtype: str = "float32", device: str = "cpu", **settings: Any) -> None:
        self.version = check_vllm()
        check_settings(settings)
        choose_runner()
        self.reference = load_model(model, device, dtype)
        surface = Surface(self.reference)
        from vllm import LLM  # pyright: ignore[reportMissingImports]

        place = Source.of(str(model)).place
        try:
            self._llm = LLM(place, dtype=dtype, max_logprobs=-1, **settings, **starting(settings))
        except Exception as error:  # whatever stands in the way of a model, vLLM raises as it comes
            raise does_not_run(str(model), error) from error
        self._tags = map(str, itertools.count())
        self.refused: Mapping[str, str] = {}
        try:
            self._check_classes()
            self.refused = refused_stages(surface, self._logprobs)
        except ModelError:
            self.close()
            raise

    def __str__(self) -> str:
        return f"vLLM {self.version}"

    def __repr__(self) -> str:
        how = "eager" if self._llm.llm_engine.model_config.enforce_eager else "compiled"
        return f"VLLM({self.cfg.model_name!r}, {self.about()['dtype']}, vLLM {self.version}, {how})"

    def about(self) -> dict[str, str]:
        """See `Elsewhere`."""
        config = self._llm.llm_engine.vllm_config
        dtype = str(config.model_config.dtype).removeprefix("torch.")
        return {"dtype": dtype, "device": f"vLLM {self.version} on {config.device_config.device_type}"}

    def continued(
        self,
        rows: Sequence[Sequence[int]],
        writes: Sequence[Write],
        *,
        max_new_tokens: int,
        ends: Sequence[int],
        seeds: Sequence[int] | None = None,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
    ) -> list[list[int]]:
        """See `Elsewhere`."""
        each = seeds or [None] * len(rows)
        sampling = [
            dict(
                max_tokens=max_new_tokens, temperature=temperature if seeds else 0.0, seed=seed, top_k=top_k or 0,
                top_p=1.0 if top_p is None else top_p, stop_token_ids=list(ends), ignore_eos=True,
            )
            for seed in each
        ]  # fmt: skip
        found = self._run(rows, writes, sampling)
        return [list(itertools.takewhile(lambda one: one not in ends, out.outputs[0].token_ids)) for out in found]

    def next_logprobs(
        self, rows: Sequence[Sequence[int]], writes: Sequence[Write], ids: Sequence[Sequence[int]]
    ) -> list[list[float]]:
        """See `Elsewhere`."""
        sampling = [dict(max_tokens=1, temperature=0.0, logprob_token_ids=list(some)) for some in ids]
        found = self._run(rows, writes, sampling)
        return [[out.outputs[0].logprobs[0][i].logprob for i in some] for out, some in zip(found, ids, strict=True)]

    def completion_logprobs(
        self, pairs: Sequence[tuple[Sequence[int], Sequence[int]]], writes: Sequence[Write]
    ) -> list[tuple[float, bool]]:
        """See `Elsewhere`."""
        sampling = [dict(max_tokens=1, temperature=0.0, prompt_logprobs=0)] * len(pairs)
        found = self._run([before for before, _ in pairs], writes, sampling, [after for _, after in pairs])
        scores = []
        for out, (before, after) in zip(found, pairs, strict=True):
            own = [one[token] for one, token in zip(out.prompt_logprobs[len(before) :], after, strict=True)]
            scores.append((sum(one.logprob for one in own), all(one.rank == 1 for one in own)))
        return scores

    def close(self) -> None:
        """Stops vLLM and gives its memory back."""
        self._llm.llm_engine.engine_core.shutdown()
        del self._llm
        gc.collect()  # what vLLM leaves to its objects' end would undo the beginning of another engine

    def _check_classes(self) -> None:
        from vllm.compilation.wrapper import (  # pyright: ignore[reportMissingImports]
            TorchCompileWithNoGuardsWrapper,
        )

        if any(isinstance(module, TorchCompileWithNoGuardsWrapper) for module in self.reference.modules()):
            raise ModelError(
                f"vLLM runs {self.cfg.model_name!r} by classes of transformers, which it has changed for this whole "
                "process; start again without VLLM_ENABLE_V1_MULTIPROCESSING=0, so that it runs in a process of its own"
            )

    def _logprobs(self, ids: Sequence[int], writes: Sequence[Write]) -> list[float]:
        """Of the whole vocabulary after a prompt."""
        (found,) = self._run([ids], writes, [dict(max_tokens=1, temperature=0.0, logprobs=-1)])
        told = found.outputs[0].logprobs[0]
        return [told[token].logprob for token in range(len(told))]

    def _run(
        self,
        rows: Sequence[Sequence[int]],
        writes: Sequence[Write],
        sampling: Sequence[Mapping[str, Any]],
        completions: Sequence[Sequence[int]] | None = None,
    ) -> list[Any]:
        """vLLM's outputs for prompts, each with its completion where there are any, and each under its own writes."""
        from vllm import SamplingParams  # pyright: ignore[reportMissingImports]

        for write in writes:
            if (why := self.refused.get(write.site.stage)) is not None:
                raise ModelError(f"{self.cfg.model_name!r} is not steered at {write.site!r} in vLLM: {why}")
        surface = Surface(self.reference)
        joined = [[*row, *more] for row, more in zip(rows, completions or [()] * len(rows), strict=True)]
        goes_on = any(one["max_tokens"] > 1 for one in sampling)
        each = writes_of_rows(writes, joined, list(map(len, rows)), surface.decode, goes_on)
        texts, tags = [as_text(one) for one in each], [next(self._tags) for _ in rows]
        longest = self._llm.llm_engine.vllm_config.model_config.max_model_len
        for number, (ids, how) in enumerate(zip(joined, sampling, strict=True)):
            if len(ids) + how["max_tokens"] > longest:
                raise DataError(
                    f"prompt {number} has {len(ids)} tokens and {how['max_tokens']} are to follow, which is more than "
                    f"the {longest} that vLLM was started for; start it with a larger max_model_len"
                )
        prompts = [dict(prompt_token_ids=ids) | _apart(text) for ids, text in zip(joined, texts, strict=True)]
        settings = [
            SamplingParams(**how, detokenize=False, extra_args={ARGUMENT: text, TAG: tag} if text else None)
            for how, text, tag in zip(sampling, texts, tags, strict=True)
        ]
        found = self._llm.generate(prompts, settings, use_tqdm=False)
        told = self._llm.collective_rpc("steering_receipts", args=(tags,))[0] if writes else [None] * len(rows)
        n_new = [len(out.outputs[0].token_ids) for out in found]
        collect(receipt_of(writes, each, joined, n_new, told, surface.special_id("bos")))
        return found


def starting(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What vLLM is started with, so that it steers."""
    apart = {"additional_config": {"tlsteer": __version__}}  # part of the name under which compiled models are kept
    compiled = apart | {"compilation_config": {"cudagraph_mode": "NONE"}}
    return {"worker_cls": WORKER} | ({} if settings.get("enforce_eager") else compiled)


def does_not_run(model: str, error: Exception) -> ModelError:
    """That vLLM does not run a model, in a sentence."""
    return ModelError(f"vLLM does not run {model!r}: {' '.join(str(error).split())}")


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuses settings of vLLM that steering relies on, or has not been tested with.

    Raises:
        ModelError: one of them was given.
    """
    if given := [name for name in settings if name in _OWN]:
        raise ModelError(f"{given[0]} cannot be set: {_OWN[given[0]]}")


def _apart(text: str) -> dict[str, str]:
    """What keeps a steered request's keys and values apart in the prefix cache; nothing for one that is not steered."""
    return {"cache_salt": salt_of(text)} if text else {}
