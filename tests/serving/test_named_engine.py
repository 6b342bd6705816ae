from importlib.util import find_spec

import pytest

from tlsteer.errors import DataError, ModelError
from tlsteer.judges import ModelJudge, judge_from
from tlsteer.judges._later import LoadedLater
from tlsteer.serving import _named_engine
from tlsteer.serving._named_engine import check_engine


@pytest.fixture
def there(monkeypatch):
    monkeypatch.setattr(_named_engine, "check_vllm", lambda: "0.32.0")


def test_a_name_has_settings_behind_a_colon(there):
    assert check_engine("vllm") == {}
    found = check_engine("vllm:max_model_len=2048,gpu_memory_utilization=0.4,attention_backend=TORCH_SDPA")
    assert found == {"max_model_len": 2048, "gpu_memory_utilization": 0.4, "attention_backend": "TORCH_SDPA"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vlm", "no engine 'vlm'; give \"vllm\""),
        ("vllm:2048", "'2048' is no setting"),
        ("vllm:dtype=bfloat16", "dtype is said apart"),
        ("vllm:worker_cls=Worker", "worker_cls cannot be set"),
    ],
)
def test_what_is_no_engine_or_no_setting_is_refused(there, name, said):
    with pytest.raises(ModelError, match=said):
        check_engine(name)


def test_judge_models_run_on_vllm_by_name_and_say_so(there, tmp_path):
    (tmp_path / "words.txt").write_text("Did {text} do {prompt}?")
    judge = judge_from(f"vllm:classifier:some/model#{tmp_path / 'words.txt'}", dtype="bfloat16", later=True)
    assert isinstance(judge, ModelJudge)
    assert isinstance(judge.model, LoadedLater)
    assert (judge.model.name, judge.model.dtype, judge.model.on_vllm) == ("some/model", "bfloat16", True)
    assert judge.name.startswith("vllm:model:some/model (template")
    assert judge.chat is False
    assert judge_from("vllm:model:some/model", later=True).name == "vllm:model:some/model"
    for wrong in ("vllm:substrings", "vllm:some/model", "vllm"):
        with pytest.raises(DataError, match="there is no judge"):
            judge_from(wrong)


@pytest.mark.skipif(find_spec("vllm") is not None, reason="it is installed here")
def test_without_vllm_one_sentence_says_so_before_anything_is_written():
    for call in (lambda: check_engine("vllm"), lambda: judge_from("vllm:model:some/model", later=True)):
        with pytest.raises(ModelError, match="vLLM is not installed") as caught:
            call()
        assert "\n" not in str(caught.value)
