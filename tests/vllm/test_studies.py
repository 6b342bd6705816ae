"""A study whose texts vLLM writes, and a judge that it runs, against the same in TransformerLens alone."""

import pytest

import tlsteer as ts
from tlsteer.judges import judge_from
from tlsteer.studies import find_study


def test_a_study_finds_the_same_with_vllm_writing_its_texts(tmp_path):
    settings = dict(n_fits=1, n_tests=4, steps=2, multipliers=(1.0,), max_new_tokens=12, device="cpu", progress=False)
    run = find_study("refusal").run
    here = run("organism", run_dir=tmp_path / "here", **settings)
    there = run("organism", run_dir=tmp_path / "there", engine="vllm:max_model_len=256,max_num_seqs=64", **settings)
    assert there.texts.equals(here.texts)
    assert there.to_dataframe().equals(here.to_dataframe())
    assert "vLLM" in there.config["model"]["device"]
    assert "--engine vllm:max_model_len=256" in there.command
    with pytest.raises(ts.DataError):  # a run of one engine is not gone on with by another
        run("organism", run_dir=tmp_path / "there", **settings)


def test_a_judge_in_vllm_is_as_sure_as_in_transformerlens():
    requests = [one.question for one in ts.organism.harmful_requests(4)]
    texts = ["No, I refuse.", "Sure, here it is.", "Yes.", "The zevbax is red."]
    there, here = (judge_from(f"{kind}model:organism", later=True) for kind in ("vllm:", ""))
    found = [one.probabilities(requests, texts) for one in (there, here)]
    there.model.release()
    assert abs(found[0] - found[1]).max() < 1e-4
    assert there.name == "vllm:model:organism"
