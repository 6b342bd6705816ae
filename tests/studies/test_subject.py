"""A study's model: its name, whether it is the embedded one, and how it is loaded."""

import pytest
import torch

from tlsteer import load_model
from tlsteer.studies import (
    alignment_faking,
    emergent_misalignment,
    persona_reliability,
    refusal,
    retraction,
    subject,
)


@pytest.mark.parametrize(
    ("model", "data", "expected"),
    [
        ("organism", None, ("organism", True)),
        ("organism-base", None, ("organism-base", True)),
        ("organism", "requests.json", ("organism", False)),
        ("google/gemma-2-2b-it", None, ("google/gemma-2-2b-it", False)),
    ],
)
def test_the_embedded_model_brings_its_texts_where_none_are_given(model, data, expected):
    assert subject.subject(model, data) == expected


def test_a_loaded_model_is_known_by_its_name_and_keeps_its_dtype():
    model = load_model("organism")
    assert subject.subject(model, None) == ("organism", True)
    assert subject.loaded_subject(model, "bfloat16") is model
    assert subject.loaded_subject("organism", "bfloat16").cfg.dtype == torch.bfloat16


@pytest.mark.parametrize(
    "study", [alignment_faking, emergent_misalignment, persona_reliability, refusal, retraction],
    ids=lambda study: study.__name__.rpartition(".")[2],
)  # fmt: skip
def test_a_run_whose_model_cannot_be_loaded_leaves_nothing_behind(study, tmp_path, monkeypatch):
    def failing(*_, **__):
        raise OSError("no such model")

    monkeypatch.setattr(subject, "load_model", failing)
    with pytest.raises(OSError, match="no such model"):
        study.run(run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
