"""lm-eval's tasks on a model unsteered, steered, and under random vectors of equal norm."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tlsteer._arguments import Count, Seed, Whole, checked
from tlsteer._json_files import json_columns, read_json, write_json
from tlsteer._model_type import Model
from tlsteer._results import Result
from tlsteer.errors import DataError, ModelError
from tlsteer.fit import random_vector
from tlsteer.positions import Positions
from tlsteer.stats import Estimate, mean, rate
from tlsteer.vector_sets import VectorSet
from tlsteer.vectors import SteeringVector


@dataclass(frozen=True, eq=False, repr=False)
class TaskScores(Result):
    """How a model does on tasks under each condition.

    Attributes:
        scores: a row for each condition, task and metric, with the estimate's value, low, high (95%) and n. Shares have
            Wilson's interval, means a bootstrap's; a metric that lm-eval makes of a whole task has a value alone.
        samples: what lm-eval logged of each document, by condition and task.

    >>> evaluate_tasks(model, ["arc_easy"], vector, limit=200).scores  # doctest: +SKIP
    """

    scores: pd.DataFrame
    samples: Mapping[str, Mapping[str, Sequence[Any]]]

    _picture = "plot_task_scores"
    _next = ".samples has what was asked and answered."

    @property
    def headline(self) -> str:
        """The first task's first metric under every condition, with intervals."""
        if self.scores.empty:
            return "lm-eval gave no score."
        first = self.scores.iloc[0]
        own = self.scores[(self.scores["task"] == first["task"]) & (self.scores["metric"] == first["metric"])]
        columns = (own[name] for name in ("condition", "value", "low", "high", "n"))
        said = [f"{name} {Estimate(*of)}" for name, *of in zip(*columns, strict=True)]
        return f"{first['task']}, {first['metric']}: {'; '.join(said)}."

    def to_dataframe(self) -> pd.DataFrame:
        """See `scores`."""
        return self.scores

    def save(self, path: str | Path) -> Path:
        """Writes scores and samples as one JSON file, whole or not at all; what JSON has no name for becomes text."""
        samples = json.loads(json.dumps(self.samples, default=str))
        return write_json(path, {"task_scores": json_columns(self.scores), "samples": samples})

    @classmethod
    def load(cls, path: str | Path) -> TaskScores:
        """Reads what `save` wrote.

        Raises:
            DataError: no such file, or one that is something else.
        """
        content = read_json(path, "TaskScores saved by tlsteer")
        try:
            numbers = {"value": float, "low": float, "high": float, "n": int}
            return cls(pd.DataFrame(content["task_scores"]).astype(numbers), content["samples"])
        except (ArithmeticError, KeyError, TypeError, ValueError) as error:
            raise DataError(f"{str(path)!r} is not TaskScores saved by tlsteer ({error!r})") from None

    def __repr__(self) -> str:
        return self.scores.to_string(index=False, float_format="{:.3f}".format)


@checked
def evaluate_tasks(
    model: Model,
    tasks: Sequence[str],
    vectors: SteeringVector | VectorSet | None = None,
    *,
    multipliers: Sequence[float] = (1.0,),
    positions: Positions = "all",
    n_random: Whole = 1,
    seed: Seed = 0,
    limit: int | None = None,
    include_path: str | Path | None = None,
    chat: bool = False,
    batch_size: Count = 32,
) -> TaskScores:
    """Runs tasks of lm-eval on a model: unsteered, under vectors, and under random vectors of equal norm.

    A request's context is the prompt and its continuation the completion, so positions mean what they mean everywhere
    in tlsteer. Documents, prompts and metrics are lm-eval's own.

    Args:
        model: a TransformerBridge or HookedTransformer.
        tasks: their names.
        vectors: one or a set; without, the unsteered model alone is run.
        multipliers: a condition for each.
        positions: which tokens (see `positions`).
        n_random: random vectors at each multiplier; for several sites, as many at each.
        seed: of the random vectors.
        limit: documents of each task; all by default.
        include_path: a folder with tasks of your own.
        chat: write contexts in the model's chat format.
        batch_size: requests run at once.

    Raises:
        ModelError: lm-eval is not installed.
        DataError: a task that lm-eval does not know.

    >>> print(evaluate_tasks(model, ["arc_easy"], vector, limit=200))  # doctest: +SKIP
    """
    evaluate, manager = _lm_eval(include_path)
    if unknown := [task for task in tasks if task not in manager.all_tasks]:
        raise DataError(f"lm-eval knows no task {unknown[0]!r}; give --include-path for one of your own")
    from tlsteer.harnesses._lm_eval_model import TlsteerLM

    rows, samples = [], {}
    for name, chosen, multiplier in _conditions(vectors, multipliers, n_random, seed):
        steered = TlsteerLM(model, chosen, multiplier, positions, batch_size)
        found = evaluate(
            steered, tasks=list(tasks), limit=limit, task_manager=manager, apply_chat_template=chat, bootstrap_iters=0
        )
        samples[name] = found["samples"]
        for task in tasks:
            logged = found["samples"].get(task, [])
            for metric, value in found["results"][task].items():
                short, comma, kept = metric.partition(",")
                if comma and "stderr" not in short and isinstance(value, int | float):
                    # Documents are logged once for each filter of their answers.
                    own = [one[short] for one in logged if short in one and one.get("filter", kept) == kept]
                    about = {"condition": name, "task": task, "metric": short if kept == "none" else metric}
                    rows.append(about | vars(_estimate(own, float(value))))
    return TaskScores(pd.DataFrame(rows), samples)


def _conditions(
    vectors: SteeringVector | VectorSet | None, multipliers: Sequence[float], n_random: int, seed: int
) -> list[tuple[str, Any, float]]:
    found: list[tuple[str, Any, float]] = [("unsteered", (), 1.0)]
    if vectors is None:
        return found
    several = [vectors] if isinstance(vectors, SteeringVector) else [*vectors.values()]
    for multiplier in multipliers:
        found.append((f"steered ({multiplier:g})", VectorSet(several), multiplier))
        for draw in range(n_random):
            # Other seeds for other sites, so that their directions are not one.
            own = [random_vector(v.site, like=v, seed=seed + draw + 1000 * at) for at, v in enumerate(several)]
            found.append((f"random {draw} ({multiplier:g})", VectorSet(own), multiplier))
    return found


def _estimate(values: Sequence[Any], total: float) -> Estimate:
    """The estimate of a metric's values by document, where these are what lm-eval's total is the mean of."""
    try:
        numbers = np.array(values, dtype=float)
    except (TypeError, ValueError):
        numbers = np.array([])
    if not len(numbers) or not np.isclose(numbers.mean(), total):
        return Estimate(total, math.nan, math.nan, len(numbers))
    if np.isin(numbers, (0, 1)).all():
        return rate(int(numbers.sum()), len(numbers))
    return mean(numbers)


def _lm_eval(include_path: str | Path | None) -> tuple[Any, Any]:
    try:
        from lm_eval import simple_evaluate  # pyright: ignore[reportMissingImports]
        from lm_eval.tasks import TaskManager  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ModelError("tasks are those of lm-eval, which is not installed: pip install 'tlsteer[lm-eval]'") from None
    return simple_evaluate, TaskManager(include_path=None if include_path is None else str(include_path))
