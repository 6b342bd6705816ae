"""Loading: local folders of every architecture, models of one's own, and errors that say what to do."""

import shutil

import httpx
import pytest
import torch
from huggingface_hub import HfApi, errors
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from tests import small_models
from tests.small_models import KINDS, bridge, has_hooked_transformer, hooked, loaded, saved, unchecked
from tlsteer import (
    ContrastPair,
    DataError,
    Model,
    ModelError,
    Site,
    SteeringVector,
    chat_prompt,
    fit_contrastive,
    generate,
    load_model,
    propensity,
    steer,
)
from tlsteer._identity import same_model
from tlsteer._surface import Surface


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_of_save_pretrained_loads_with_its_weights_as_they_are(kind):
    model = load_model(saved(kind))
    tokens = model.to_tokens("What is it? Sure")
    with torch.no_grad():
        expected = small_models.hugging_face(kind)(tokens).logits
    torch.testing.assert_close(model(tokens), expected, atol=1e-5, rtol=1e-5)
    assert Surface(model).weight_processing == "raw"
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("dtype", [torch.bfloat16, "bfloat16", torch.float16])
def test_a_model_loads_in_the_precision_asked_for_and_stays_the_same_model(dtype):
    model = load_model(saved("llama"), dtype=dtype)
    wanted = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    assert {p.dtype for p in model.parameters()} == {wanted} == {model.cfg.dtype}
    assert same_model(Surface(model).fingerprint, Surface(loaded("llama")).fingerprint)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("site", [Site(1), Site(1, "post")], ids=str)
def test_a_low_precision_model_can_be_steered(kind, site):
    model = loaded(kind, torch.bfloat16)
    v = SteeringVector(torch.randn(small_models.WIDTH, generator=torch.Generator().manual_seed(0)), site)
    with steer(model, v, multiplier=2.0) as receipt:
        _, cache = model.run_with_cache("What is it?")
    _, plain = model.run_with_cache("What is it?")
    change = cache[site.hook_name].float() - plain[site.hook_name].float()
    assert cache[site.hook_name].dtype == torch.bfloat16
    torch.testing.assert_close(change, (2 * v.tensor).expand_as(change), atol=0.1, rtol=0.05)
    norms = plain[site.hook_name].float().norm(dim=-1)
    assert receipt.entries[0].relative_norm == pytest.approx((2 * v.norm / norms).mean().item(), rel=0.02)
    assert generate(model, "What is it?", v, max_new_tokens=2)


def test_a_model_of_ones_own_is_frozen_and_otherwise_left_alone():
    own = bridge("gpt2")
    own.train()
    own.requires_grad_(True)
    before = {name: value.clone() for name, value in own.state_dict().items()}
    assert load_model(own) is own
    assert not own.training
    assert not any(p.requires_grad for p in own.parameters())
    after = own.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("settings", [dict(device="cpu"), dict(dtype="bfloat16")])
def test_a_model_of_ones_own_is_not_moved(settings):
    with pytest.raises(ModelError, match=r"move your own with model.to"):
        load_model(loaded(), **settings)


@pytest.mark.parametrize("thing", [5, torch.nn.Linear(2, 2), None])
@pytest.mark.parametrize(
    "use",
    [
        load_model,
        lambda thing: unchecked(chat_prompt)(thing, "Hi"),
        lambda thing: unchecked(generate)(thing, ["Hi"]),
        lambda thing: unchecked(propensity)(thing, SteeringVector(torch.ones(32), 0), []),
        lambda thing: unchecked(fit_contrastive)(thing, [ContrastPair("a", "b")], 0),
    ],
    ids=["load_model", "chat_prompt", "generate", "propensity", "fit_contrastive"],
)
def test_what_is_no_model_is_refused_in_words(use, thing):
    with pytest.raises(ModelError, match=f"a {type(thing).__name__} is not a TransformerLens model"):
        unchecked(use)(thing)


@pytest.mark.parametrize("kind", KINDS)
def test_both_classes_of_transformer_lens_are_models(kind):
    assert isinstance(loaded(kind), Model)
    if has_hooked_transformer():
        assert isinstance(hooked(kind), Model)
    assert not isinstance(torch.nn.Linear(2, 2), Model)


@pytest.mark.parametrize("dtype", ["float7", "int64", "nn"])
def test_an_unknown_precision_is_refused_with_those_there_are(dtype):
    with pytest.raises(ModelError, match=f'dtype \'{dtype}\' is unknown; use "float32", "bfloat16" or "float16"'):
        load_model(saved("gpt2"), dtype=dtype)


@pytest.fixture
def folder(tmp_path, request):
    """A copy of a saved model that may be damaged."""
    return shutil.copytree(saved(getattr(request, "param", "gpt2")), tmp_path / "model")


@pytest.mark.parametrize("folder", KINDS, indirect=True)
def test_a_folder_without_a_tokenizer_loads_and_says_how_to_add_one(folder, request):
    for file in [*folder.glob("*token*"), *folder.glob("chat_template*")]:
        file.unlink()
    with pytest.warns(UserWarning, match=r"holds no tokenizer, so prompts are token ids.*tokenizer.save_pretrained"):
        model = load_model(folder)
    kind = request.node.callspec.params["folder"]
    vector, ids = SteeringVector(torch.ones(small_models.WIDTH), 1), torch.tensor([[5, 6, 7, 8]])
    with steer(model, vector), steer(loaded(kind), vector):
        torch.testing.assert_close(model(ids), loaded(kind)(ids))
    assert [len(found) for found in generate(model, [[5, 6, 7], [8, 9]], vector, max_new_tokens=3)] == [3, 3]
    with pytest.raises(ModelError, match="has no tokenizer"):
        generate(model, "Hello")


@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut"])
def test_a_damaged_folder_is_refused_by_name(folder, file, damage):
    whole = (folder / file).read_bytes()
    (folder / file).unlink()
    if damage != "missing":
        (folder / file).write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    with pytest.raises(ModelError, match=f"{folder}' cannot be read as a saved model"):
        load_model(folder)


@pytest.mark.parametrize("name", ["./missing", "/no/where", "~/not-here", "a/b/c"])
def test_a_path_that_is_not_there_is_no_directory(name):
    with pytest.raises(ModelError, match=f"there is no directory '{name}'"):
        load_model(name)


def test_a_misspelt_embedded_model_is_answered_with_those_there_are():
    with pytest.raises(ModelError, match="the embedded models are organism, organism-sibling, organism-base"):
        load_model("organism-bass")


def response(status, headers=None):
    request = httpx.Request("GET", "https://huggingface.co/api/models/some/model")
    return httpx.Response(status, request=request, headers=headers)


@pytest.fixture
def hub(monkeypatch):
    """Makes the hub answer as told: to the question for the model, then to downloads of its files."""

    def answers(question=None, download=None):
        def ask(*_, **__):
            if question is not None:
                raise question

        def fetch(*_, **__):
            raise OSError("files of some/model cannot be had") from download

        monkeypatch.setattr(HfApi, "model_info", ask)
        for kind in (AutoConfig, AutoTokenizer, AutoModelForCausalLM):
            monkeypatch.setattr(kind, "from_pretrained", fetch)

    return answers


def hub_error(kind, status):
    return getattr(errors, kind)("the hub says no", response=response(status))


def test_an_unknown_name_is_told_from_a_missing_network(hub):
    hub(question=hub_error("RepositoryNotFoundError", 401))
    with pytest.raises(ModelError, match=r"'some/model' is not a model on the Hugging Face hub.*check the spelling"):
        load_model("some/model")


def test_a_gated_model_says_where_to_ask_for_access(hub):
    hub(download=hub_error("GatedRepoError", 403))
    with pytest.raises(ModelError, match=r"gated: accept its licence at https://huggingface.co/some/model.*hf auth"):
        load_model("some/model")


@pytest.mark.parametrize(
    "failure",
    [httpx.ConnectError("name not known"), httpx.ConnectTimeout("late"), errors.OfflineModeIsEnabled("HF_HUB_OFFLINE")],
    ids=repr,
)
def test_without_a_network_only_the_cache_is_asked(hub, failure, monkeypatch):
    hub(question=failure)
    asked = []

    def fetch(source, **settings):
        asked.append(settings)
        raise OSError("no file") from errors.LocalEntryNotFoundError("not in the cache")

    monkeypatch.setattr(AutoTokenizer, "from_pretrained", fetch)
    with pytest.raises(ModelError, match=r"'some/model' is not in the local cache and .* cannot be reached"):
        load_model("some/model")
    assert asked == [{"local_files_only": True, "trust_remote_code": False}]


def test_without_a_network_a_cached_model_loads(hub, monkeypatch):
    kinds = (AutoConfig, AutoTokenizer, AutoModelForCausalLM)
    real = [kind.from_pretrained for kind in kinds]
    hub(question=httpx.ConnectError("name not known"))
    for kind, load in zip(kinds, real, strict=True):
        monkeypatch.setattr(kind, "from_pretrained", lambda source, load=load, **given: load(saved("gpt2"), **given))
    assert load_model("some/model").cfg.n_layers == small_models.LAYERS


def test_another_answer_of_the_hub_is_left_to_the_download(hub):
    hub(question=hub_error("HfHubHTTPError", 429), download=hub_error("HfHubHTTPError", 429))
    with pytest.raises(ModelError, match="'some/model' cannot be loaded: OSError"):
        load_model("some/model")


def test_an_architecture_that_is_not_known_is_named(folder):
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"model_type": "gpt2"', '"model_type": "novel"'))
    with pytest.raises(ModelError, match="novel"):
        load_model(folder)


def test_a_chat_prompt_is_the_templates_text_and_the_prefill():
    model = loaded()
    assert chat_prompt(model, "Hi") == "<s>[user] Hi\n[assistant] "
    messages = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}]
    assert chat_prompt(model, messages, "Sure") == "<s>[system] Be brief\n[user] Hi\n[assistant] Sure"


def test_a_chat_prompt_has_what_the_template_is_given(monkeypatch):
    model = loaded()
    assert chat_prompt(model, "Hi", system="Be brief") == "<s>[system] Be brief\n[user] Hi\n[assistant] "
    written = "{{ messages[0]['content'] }}{% if enable_thinking is false %} /no_think{% endif %}{{ tools | length }}"
    monkeypatch.setattr(model.tokenizer, "chat_template", written)
    tool = {"type": "function", "function": {"name": "add", "parameters": {}}}
    assert chat_prompt(model, "Hi", tools=[tool], enable_thinking=False) == "Hi /no_think1"


def test_what_the_template_would_ignore_is_refused(monkeypatch):
    model = loaded()
    with pytest.raises(DataError, match="the chat template of 'tiny-gpt2' takes no enable_thinkng"):
        chat_prompt(model, "Hi", enable_thinkng=False)
    with pytest.raises(DataError, match="takes no tools"):
        chat_prompt(model, "Hi", tools=[{"type": "function"}])
    monkeypatch.setattr(model.tokenizer, "chat_template", "{{ messages[-1]['content'] }}")
    with pytest.raises(DataError, match="leaves out what the system says"):
        chat_prompt(model, "Hi", system="Be brief")


def test_messages_that_the_template_refuses_are_refused_in_its_words(monkeypatch):
    model = loaded()
    monkeypatch.setattr(model.tokenizer, "chat_template", "{{ raise_exception('no system here') }}")
    with pytest.raises(DataError, match="refuses these messages: no system here"):
        chat_prompt(model, "Hi")
    monkeypatch.setattr(model.tokenizer, "chat_template", None)
    with pytest.raises(DataError, match="'tiny-gpt2' has no chat template"):
        chat_prompt(model, "Hi")


def test_a_model_without_a_tokenizer_says_so_when_text_is_used(monkeypatch):
    model = loaded()
    monkeypatch.setattr(model, "tokenizer", None)
    with pytest.raises(ModelError, match="'tiny-gpt2' has no tokenizer"):
        unchecked(generate)(model, "Hello")
