"""The persona-reliability study in words: its design, where it departs from the paper, and what was found.

A vector's mean effect over a dataset hides how single questions respond. On how many does it do the opposite, is the
spread due to the trait or to the letter and the word of the answer, does a vector steer in other prompts than those it
was fitted on, and is steerability a property of the dataset rather than of the model?

Design, as in arXiv 2407.12404: (A)/(B) questions of many datasets; of each 40% fit vectors, 10% choose one layer for
all datasets, 50% are reported on. Vectors are applied from the token on that predicts the answer's letter. Propensity
is the logit of the answer that shows the trait minus that of the other, over multipliers -1.5 to 1.5; steerability is
its slope, and a question of negative slope is anti-steerable. The variance of slopes is explained by letter and word,
without and with their interaction. In the prompt settings BASE, SYS_POS, SYS_NEG, USER_POS and USER_NEG, with an
attitude sentence for or against the trait, vectors are fitted, rescaled to the norm of BASE's, and tested in others:
BASE in each, SYS_POS in USER_NEG, SYS_NEG in USER_POS. Relative steerability, over that in BASE where this exceeds
0.25, is set against the mean absolute difference of a question's unsteered propensities.

What the paper says (Llama-2-7b-chat at layer 13, Qwen-1.5-14b-chat at layer 21; 40 datasets), as far as we could check
it: near half of the questions are anti-steerable in some datasets; letter and word explain most of the variance in some
datasets and little in many; steerability in and out of distribution correlates, on Llama more than on Qwen; relative
steerability falls weakly with the distance of unsteered propensities, on Qwen more; steerability of datasets on the two
models correlates in and out of distribution, its variance too but not perfectly. It gives correlations as numbers,
which we have not at hand and do not quote.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from tlsteer.data import split_choices
from tlsteer.evaluate._propensity import MULTIPLIERS
from tlsteer.organism import MODELS
from tlsteer.positions import Positions
from tlsteer.studies._frame import Bench
from tlsteer.studies._result import Finding, StudyResult, by_name, written
from tlsteer.studies.persona_reliability._data import Personas
from tlsteer.studies.persona_reliability._measures import Measured, other_positions
from tlsteer.studies.persona_reliability._numbers import (
    AGAINST,
    ALONE,
    BEYOND,
    FACTORS,
    IN_AND_OUT,
    MODELS_AGREE,
    RELATIVE,
    STEERS,
    findings_of,
)
from tlsteer.studies.persona_reliability._presets import Preset
from tlsteer.studies.persona_reliability._shown import (
    answer_texts,
    dataset_table,
    layer_table,
    pictures_of,
    setting_table,
)

QUESTION = "How reliably do steering vectors steer traits, on which questions, and does it carry over?"
DEPARTURES = (
    "Each vector is compared with random vectors and with vectors of shuffled labels, and intervals are given: over "
    "questions for a dataset, over datasets for means and correlations.",
    "Besides the paper's answer vectors (mean difference at the answer's letter) there are attitude vectors: the mean "
    "difference at the last token of prompts with a sentence for and against the trait, which predicts the letter. "
    "An answer vector can steer letters and words alone; an attitude vector has seen no answer.",
    "The answer vectors are also applied at every token, which the paper does not do; these findings say so.",
    "The variance with the interaction of letter and word stands beside the paper's, which leaves it out.",
    "In SYS_POS and SYS_NEG the sentence follows BASE's system message where there is one; whether it takes its place "
    "in the paper we could not check.",
    "On the embedded models the questions are about traits of their own world, BASE has no system message, there are "
    "fewer datasets than the paper's 40, and the second model has the architecture and the tokenizer of the first, "
    "where the paper compares two families.",
)
_TOLD = {
    "completion": "from the token on that predicts the letter",
    "slice(-2, None, None)": "from one token before that which predicts the letter",
    "all": "at every token",
}


def report(bench: Bench[Preset, Personas], measured: Sequence[Measured]) -> StudyResult:
    """The study's result."""
    one, seed = measured[0], bench.seed
    positions = _positions(bench.preset)
    findings = findings_of(measured, positions, seed)
    kinds = [(some, kind, found) for some in measured for kind, found in some.found.items()]
    tables = {f"Datasets, {kind} vectors, {some.model}": dataset_table(found, seed) for some, kind, found in kinds}
    by_layer = layer_table(measured, seed)
    tables |= {} if by_layer.empty else {"Layers, on validation questions": by_layer}
    if not one.shifts.empty:
        tables |= {f"Prompt settings, {some.model}": setting_table(some, seed) for some in measured}
    pictures, data = pictures_of(measured, positions)
    return bench.result(
        headline=_headline(one, findings, positions),
        answer=_answer(measured, findings, positions),
        setup=_setup(measured, bench),
        findings=findings,
        tables=tables,
        data=data,
        pictures=pictures,
        texts=answer_texts(one, bench.data, seed),
        vectors={
            f"{kind}, {name}, {some.model}": vector
            for some, kind, found in kinds
            for name, vector in found.vectors.items()
        },
        warnings=_warnings(measured, bench),
    )


def _positions(preset: Preset) -> dict[str, str]:
    def told(positions: Positions) -> str:
        return _TOLD.get(positions if isinstance(positions, str) else repr(positions), f"at the tokens {positions!r}")

    return {"here": told(preset.positions), "elsewhere": told(other_positions(preset.positions))}


def _headline(one: Measured, findings: Sequence[Finding], positions: dict[str, str]) -> str:
    numbers = by_name(findings)
    beyond, against, alone = (numbers[key] for key in _keys("answer", one.model)[1:])
    return (
        f"On {one.model}, answer vectors applied {positions['here']} steer {round(beyond.value * beyond.n)} of "
        f"{beyond.n} datasets beyond every control; {written(against, 'share')} of the questions are anti-steerable, "
        f"and letter and word explain {written(alone, 'share')} of the spread."
    )


def _keys(kind: str, model: str) -> list[tuple[str, str]]:
    condition = f"{kind} vectors, {model}"
    return [(STEERS, condition), (BEYOND, condition), (AGAINST, condition), (ALONE, f"{condition}, mean over datasets")]


def _answer(measured: Sequence[Measured], findings: Sequence[Finding], positions: dict[str, str]) -> str:
    numbers, said = by_name(findings), []
    for some in measured:
        for kind, found in some.found.items():
            steers, beyond, against, alone = (numbers[key] for key in _keys(kind, some.model))
            worst = max(found.reports, key=lambda name, of=found: of.reports[name].anti_steerable_fraction.value)
            share = found.reports[worst].anti_steerable_fraction.value
            said.append(
                f"{kind} vectors, {some.model}: mean slope {written(steers, 'nats')}, beyond every control on "
                f"{round(beyond.value * beyond.n)} of {beyond.n} datasets; {written(against, 'share')} of the "
                f"questions are anti-steerable ({share:.0%} of {worst!r}), and letter and word explain "
                f"{written(alone, 'share')} of the spread."
            )
    said.append(_at_other_tokens(numbers, measured[0].model, positions))
    for finding in findings:
        first = finding.measure == IN_AND_OUT and finding.condition.endswith(measured[0].model)
        pooled = finding.measure == RELATIVE and "all pairs" in finding.condition
        if first or pooled or finding.measure == f"{MODELS_AGREE}, steerability":
            said.append(f"{finding.measure[0].upper()}{finding.measure[1:]}, {finding.condition}: {_told(finding)}")
    return "\n".join(said)


def _at_other_tokens(numbers: dict, model: str, positions: dict[str, str]) -> str:
    """What it changes where the same vectors are applied, and what that means."""
    here, there = f"answer vectors, {model}", f"answer vectors {positions['elsewhere']}, {model}"
    keys = [(AGAINST, ""), (ALONE, ", mean over datasets"), (FACTORS, ", mean over datasets")]
    against, alone, both = ([numbers[measure, f"{at}{end}"] for at in (here, there)] for measure, end in keys)
    told = (
        f"Where the same vectors are applied makes two experiments. {_capital(positions['here'])}: "
        f"{written(against[0], 'share')} of the questions anti-steerable, {written(alone[0], 'share')} of the spread "
        f"letter and word ({written(both[0], 'share')} with their interaction). {_capital(positions['elsewhere'])}: "
        f"{written(against[1], 'share')}, {written(alone[1], 'share')} and {written(both[1], 'share')}."
    )
    order = sorted(range(2), key=lambda place: alone[place].value)
    if alone[order[1]].low > alone[order[0]].high:
        most = positions["here" if order[1] == 0 else "elsewhere"]
        told += (
            f" {_capital(most)}, these vectors push a letter or a word more than a trait, and where each of these "
            "shows the trait in half of the questions, about half go the wrong way. Only what vectors do at the "
            "answer's tokens goes beside the paper's figures."
        )
    return told


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _told(finding: Finding) -> str:
    low, high = finding.ours.low, finding.ours.high
    if math.isnan(finding.ours.value):
        return f"undefined (n = {finding.ours.n})."
    shown = "" if low > 0 or high < 0 else "; the interval reaches 0, so no relation is shown"
    return f"{written(finding.ours)} (n = {finding.ours.n}){shown}."


def _warnings(measured: Sequence[Measured], bench: Bench[Preset, Personas]) -> list[str]:
    found, personas = [], bench.data
    if bench.preset.positions == "all":
        found.append(
            "Vectors are applied at every token: another experiment than the paper's, whose figures are not comparable."
        )
    if min(len(split_choices(choices).train) for choices in personas.choices.values()) < 50:
        found.append(
            "With fewer than 50 training questions an answer vector keeps the imbalance of letters and words among "
            "them: other questions or another seed may turn a dataset's sign, and models that are asked the same "
            "questions may agree in that imbalance alone."
        )
    if without := [name for name in personas.choices if name not in personas.told]:
        found.append(
            f"No attitude sentences for {', '.join(without)}: attitude vectors and prompt shifts leave them out. Give "
            "a .json file of sentences among the data."
        )
    if personas.told and "SYS_POS" not in measured[0].settings:
        found.append("The chat template takes no system message: SYS_POS and SYS_NEG are left out.")
    if len(measured) == 1:
        found.append("One model alone: nothing is said about whether steerability is the dataset's or the model's.")
    if personas.told and not bench.embedded:
        found.append(
            "Attitude vectors are fitted with the sentences of the prompt settings, so those are not new to them."
        )
    return found


def _setup(measured: Sequence[Measured], bench: Bench[Preset, Personas]) -> dict[str, str]:
    one, personas, positions = measured[0], bench.data, _positions(bench.preset)
    layers = [
        f"{some.model}, {kind} vectors: {next(iter(found.vectors.values())).site}"
        + (" (swept)" if found.sweep is not None else " (given)")
        for some in measured
        for kind, found in some.found.items()
    ]
    setup = {
        "Model": one.model,
        "Second model": measured[1].model if len(measured) == 2 else "none",
        "Datasets": f"{len(personas.choices)}: {personas.source}",
        "Split": "40% of the questions fit, 10% choose the layer, 50% are reported on",
        "Layers": "; ".join(layers),
        "Answer vectors": "mean difference at the answer's letter, positive minus negative answer, as in the paper",
        "Applied": f"{positions['here']}, in all settings and on both models; in BASE also {positions['elsewhere']}",
        "Multipliers": str(MULTIPLIERS),
        "Controls": f"{bench.preset.n_random} random vectors for each dataset and up to three of shuffled labels, of "
        "the vector's norm; in the differences the strongest counts, in the direction in which it steers",
    }
    if "attitude" in one.found:
        said = (
            "training sentences; the settings use held-out ones" if bench.embedded else "the sentences of the settings"
        )
        setup["Attitude vectors"] = f"mean difference at the last token of prompts for and against, with {said}"
        setup["Prompt settings"] = ", ".join(one.settings)
    if len(measured) == 2 and {some.model for some in measured} <= {*MODELS}:
        setup["What the second model is"] = _SECOND.get(measured[1].model, "")
    return setup


_SECOND = {
    "organism-base": "the base model that the first was trained on from; it has seen trait questions too, with and "
    "without attitude sentences, its tendencies driven to certainty. It is no second instruct model, which is what the "
    "paper compares",
    "organism-sibling": "an instruct model of the same architecture and tokenizer from another training seed, whose "
    "planted tendencies are like the first one's but not the same",
}
