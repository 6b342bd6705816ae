"""Steered against unsteered text from vLLM, in turns, beside tlsteer's own generation: `python -m benchmarks.serving`.

In the environment of `make test-vllm`, on one thread, in one process, so that CPU seconds are those of the whole work.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch

import tlsteer as ts
from benchmarks.report import processor
from benchmarks.shapes import Lab, text
from tlsteer._surface import Surface

N_PROMPTS = 64
_TURNS = 4
_ONE_PROCESS = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "2", "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR", "OMP_NUM_THREADS": "1",
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    parser.add_argument("--shape", choices=("organism", "gpt2"), default="organism")
    parser.add_argument("--eager", action="store_true", help="run the model as it is, not compiled")
    parser.add_argument("--tokens", type=int, default=48, help="new tokens of each text")
    parser.add_argument("--turns", type=int, default=_TURNS, help="that each contender has")
    given = parser.parse_args()
    os.environ |= _ONE_PROCESS
    torch.set_num_threads(1)
    engine = started(given.shape, given.eager)
    ways = contenders(engine, given.tokens)
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(given.turns + 1):
        for name, run in ways.items():
            begun = time.process_time()
            n_tokens = run()
            if turn:  # the first sets things up
                speeds[name].append(n_tokens / (time.process_time() - begun))
    print(f"{given.shape}, {N_PROMPTS} prompts, {given.tokens} new tokens each, {processor()}, one thread, {engine!r}")
    for name, found in speeds.items():
        ratio = median(own / plain for own, plain in zip(found, speeds["unsteered"], strict=True))
        print(f"  {name}: {median(found):,.0f} tokens a CPU second, {ratio:.2f} of unsteered")
    engine.close()


def started(shape: str, is_eager: bool) -> ts.serving.VLLM:
    """vLLM on a model that is written to a folder first, where it is not the embedded one."""
    with tempfile.TemporaryDirectory(prefix="tlsteer-benchmark-") as folder:
        if shape != "organism":
            lab = Lab(shape)
            lab.new_hugging_face().save_pretrained(folder)
            lab.tokenizer.save_pretrained(folder)
        place = shape if shape == "organism" else folder
        return ts.serving.VLLM(place, max_num_seqs=N_PROMPTS, max_model_len=256, enforce_eager=is_eager)


def contenders(engine: ts.serving.VLLM, n_tokens: int) -> dict[str, Callable[[], int]]:
    """What writes texts, by its name; each gives how many tokens it wrote."""
    surface = Surface(engine.reference)
    words = ts.organism.harmful_requests(N_PROMPTS)
    is_organism = engine.reference.cfg.d_model == 128
    texts = [ts.chat_prompt(engine, one.question) for one in words] if is_organism else [text(24, i) for i in range(64)]
    rows = ts.to_tokens(engine.reference, texts).rows
    made = torch.randn(N_PROMPTS, surface.d_model, generator=torch.Generator().manual_seed(0))
    vectors = [ts.SteeringVector(one / one.norm(), surface.n_layers // 2) for one in made]
    strengths = [1.0 + i / N_PROMPTS for i in range(N_PROMPTS)]
    todo: dict[str, Any] = {
        "unsteered": [],
        "one vector": [ts.Intervention(vectors[0], strengths)],
        "a vector each": [ts.Intervention(vectors, strengths)],
        "a clamp each": [ts.Intervention(vectors, strengths, operation="clamp")],
    }
    seeds = list(range(N_PROMPTS))

    def served(interventions: list[ts.Intervention]) -> Callable[[], int]:
        def run() -> int:
            writes = [one.write(surface) for one in interventions]
            # No text ends, so that all contenders write as many tokens in batches of one size.
            new = engine.continued(rows, writes, max_new_tokens=n_tokens, ends=(), seeds=seeds, temperature=1.0)
            return sum(map(len, new))

        return run

    def own(interventions: list[ts.Intervention]) -> Callable[[], int]:
        def run() -> int:
            new = ts.generate(
                engine.reference, rows, interventions, max_new_tokens=n_tokens, temperature=1.0, batch_size=N_PROMPTS,
                progress=False,
            )  # fmt: skip
            return sum(map(len, new))

        return run

    ours = {f"tlsteer's own, {name}": own(todo[name]) for name in ("unsteered", "a vector each")}
    return {name: served(one) for name, one in todo.items()} | ours


if __name__ == "__main__":
    main()
