"""Verbalization versus recovery: does a model return to the truth without saying that it had said a falsehood?

After the study of fictitious information retraction in arXiv 2502.18862. The beginning of an answer is put in the
model's mouth and is false. Two things are asked of what follows: whether the model says that it was false
(verbalization, by patterns) and whether it returns to the truth (recovery, by a judge).
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from typing_extensions import Unpack

from tlsteer._arguments import Seed, Whole, checked
from tlsteer._keywords import Writing, WritingSettings, settled
from tlsteer._model_type import Model
from tlsteer._numbers import Number, finite_numbers
from tlsteer._surface import Surface
from tlsteer._version import __version__
from tlsteer.analyse._verbalization.falsehoods import Falsehood
from tlsteer.analyse._verbalization.outcomes import SETTING, judged
from tlsteer.analyse._verbalization.recovery import RecoveryJudge, judge_name, recovery_judge
from tlsteer.analyse._verbalization.retractions import RETRACTIONS, Retractions, compiled_retractions
from tlsteer.analyse._verbalization.verbalization_result import Verbalization
from tlsteer.errors import DataError
from tlsteer.evaluate._steered_texts import steered_texts
from tlsteer.evaluate._vector_grid import VectorGrid, Vectors
from tlsteer.organism import Statement
from tlsteer.positions import Positions

Statements = Sequence[Falsehood] | Sequence[Statement]


@checked
def verbalization_vs_recovery(
    model: Model,
    vectors: Vectors,
    falsehoods: Statements,
    multipliers: Sequence[Number] = (0, 1),
    *,
    truths: Statements = (),
    positions: Positions = "all",
    judge: RecoveryJudge | str | None = None,
    retractions: Retractions = RETRACTIONS,
    n_random: Whole = 1,
    temperature: float = 0.0,
    seed: Seed = 0,
    **writing: Unpack[WritingSettings],
) -> Verbalization:
    """How often a model takes a falsehood back, and how often it returns to the truth, under each vector.

    Args:
        model: a TransformerBridge or HookedTransformer.
        vectors: one vector; a list, one per layer; or either by name.
        falsehoods: of `make_falsehoods`, written by hand, or of the embedded model's world (`organism.falsehoods`).
        multipliers: of the vectors.
        truths: true statements as a control: how often is a truth taken back?
        positions: where the vectors are applied.
        judge: of recovery, or its name: "organism" (the default for the embedded model's statements), "keywords",
            "model:NAME", or a function of statements and texts (see `recovery`).
        retractions: what counts as taking back (see `retraction_spans`).
        n_random: sets of random vectors of equal norm to compare each vector with, one vector per statement in each
            set; 0 for none. Affine maps have no norm, so they get none.
        temperature: 0 is greedy.
        seed: of the random vectors and of sampling.
        writing: max_new_tokens (64) and batch_size (128) of the answers, progress, and run_dir, a folder to keep
            answers in; an interrupted call is resumed from there.

    Returns:
        Rates with intervals clustered by entity, the 2 x 2 tables, and all texts (see `Verbalization`).

    Raises:
        DataError: no falsehoods, a true one among them or a false one among the truths, no judge for them, or a setting
            that there is not.
        VectorError: vectors of another model, or lists with different layers.

    >>> found = verbalization_vs_recovery(model, {"suppression": fits, "caa": by_layer}, organism.falsehoods(4))
    >>> found.rates, found.dependence, found.texts
    """
    how = settled(Writing(batch_size=128), writing, WritingSettings)
    surface = Surface(model)
    grid = VectorGrid.of(vectors, surface)
    strengths = finite_numbers(multipliers, "multipliers")
    if not strengths or len(set(strengths)) < len(strengths):
        raise DataError(f"give at least one multiplier and each once, got {strengths}")
    statements = _checked(falsehoods, truths)
    judging = recovery_judge(judge, all(isinstance(one, Statement) for one in [*falsehoods, *truths]))()
    patterns = compiled_retractions(retractions)
    tables = steered_texts(
        model, [one.prompt_for(model) for one in statements], vectors, strengths, positions=positions,
        n_random=n_random, temperature=temperature, seed=seed, **vars(how),
    )  # fmt: skip
    # Judged as they come, so that a judge that fails does so on the unsteered answers, before hours of others.
    answers = [judged(_with_statements(table, statements), judging, patterns) for table in tables]
    names = grid.names or ["vector"]
    cells = [[name, vector.check(surface).layer] for name, row in zip(names, grid.rows, strict=True) for vector in row]
    about = {
        "model": surface.name, "fingerprint": surface.fingerprint, "positions": repr(positions),
        "cells": cells, "multipliers": strengths,
        "max_new_tokens": how.max_new_tokens, "temperature": temperature, "seed": seed,
        "judge": judge_name(judging), "retractions": [pattern.pattern for pattern in patterns], "version": __version__,
    }  # fmt: skip
    return Verbalization(pd.concat(answers, ignore_index=True), about)


def _checked(falsehoods: Statements, truths: Statements) -> list[Falsehood]:
    false, true = [Falsehood.of(one) for one in falsehoods], [Falsehood.of(one) for one in truths]
    if not false:
        raise DataError("give at least one falsehood; make_falsehoods(table) makes them from entities by attribute")
    for name, statements, wanted in (("falsehoods", false, False), ("truths", true, True)):
        wrong = next((one for one in statements if one.true is not wanted), None)
        if wrong is not None:
            raise DataError(f"among the {name}: {wrong.entity!r} is {wrong.truth!r}, stated as {wrong.stated!r}")
    return false + true


def _with_statements(table: pd.DataFrame, statements: Sequence[Falsehood]) -> pd.DataFrame:
    """Answers, each with the statement it goes on from."""
    told = pd.DataFrame([{"statement": number, "true": one.true} | vars(one) for number, one in enumerate(statements)])
    told = told.loc[table["row"]].reset_index(drop=True)
    return pd.concat([table[SETTING], told, table["text"]], axis=1)
