"""`tlsteer serve` as a process of its own, asked over HTTP."""

import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import httpx
import openai
import pytest
import torch

import tlsteer as ts
from tests.test_repository import ROOT
from tests.vllm.models import WIDTH, directory, vectors
from tlsteer.serving._vllm_server import serve
from tlsteer.sites import Site
from tlsteer.steering import Intervention, collected_receipts

KEY, MODEL = "a-key", "LlamaForCausalLM"
PROMPTS = ["Hello world, this is", "What is it?", "Sure", "I cannot say the answer. What is the thing?"]
N, END = 12, 2


@cache
def made():
    """Vectors and sets by name, as the server reads them."""
    ablated = ts.SteeringVector(vectors(1)[0].tensor, Site(1, "post"), "ablate")
    several = ts.VectorSet([one.at(site) for one, site in zip(vectors(2), (Site(0, "mid"), Site(3)), strict=True)])
    return {"calm": vectors(1)[0], "loud": vectors(1, Site(1, "mid"), ts.Clamp(2.0))[0], "off": ablated, "set": several}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    for name, one in made().items():
        one.save(folder / f"{name}.safetensors")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    call = [sys.executable, "-m", "tlsteer", "serve", directory(MODEL), "--vectors", str(folder), "--port", str(port)]
    limits = ["--max-model-len", "96", "--max-num-seqs", "64", "--api-key", KEY]
    log = folder / "log"
    with open(log, "w") as written:
        server = subprocess.Popen([*call, *limits], cwd=ROOT, stdout=written, stderr=subprocess.STDOUT)
    try:
        found = f"http://127.0.0.1:{port}"
        while not answers(found):
            assert server.poll() is None, log.read_text()
            time.sleep(0.5)
        assert f"4 vectors, listed at {found}/v1/vectors" in log.read_text()
        yield found
        assert server.poll() is None, log.read_text()[-5000:]
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(60)


def answers(address):
    try:
        return httpx.get(f"{address}/health").status_code == 200
    except httpx.TransportError:
        return False


@pytest.fixture
def client(address):
    return openai.OpenAI(base_url=f"{address}/v1", api_key=KEY, max_retries=0)


@pytest.fixture(scope="module")
def model():
    return ts.load_model(directory(MODEL), "cpu")


def asked(prompt, steering=None, **more):
    own = {"steering": steering, "return_token_ids": True}
    return dict(model=directory(MODEL), prompt=prompt, max_tokens=N, temperature=0.0, extra_body=own) | more


def post(address, path="/v1/completions", **body):
    given = dict(model=directory(MODEL), prompt="Sure", max_tokens=N, temperature=0.0, return_token_ids=True) | body
    return httpx.post(f"{address}{path}", headers={"Authorization": f"Bearer {KEY}"}, json=given)


def ids(*choices):
    """The tokens of an answer, without the one that ends it: texts of broken characters are not comparable."""
    told = [
        one for choice in choices for one in (choice if isinstance(choice, dict) else choice.model_extra)["token_ids"]
    ]
    return told[:-1] if told[-1] == END else told


def expected(model, prompt, *todo):
    (found,) = ts.generate(model, ts.to_tokens(model, [prompt]).rows, list(todo), max_new_tokens=N, progress=False)
    return found


def test_requests_at_once_are_each_steered_as_offline_and_the_others_not_at_all(client, model):
    several = [
        (None, []),
        ({"vector": "calm"}, [made()["calm"]]),
        ({"vector": "calm", "multiplier": -2.0, "positions": "completion"},
         [Intervention(made()["calm"], -2.0, "completion")]),
        ({"vector": "calm", "operation": "clamp", "positions": "last:2"},
         [Intervention(made()["calm"], 1.0, ts.last(2), "clamp")]),
        ({"vector": "loud", "positions": "1:"}, [Intervention(made()["loud"], 1.0, slice(1, None))]),
        ([{"vector": "off"}, {"vector": "set", "multiplier": 1.5}],
         [Intervention(made()["off"]), *(Intervention(one, 1.5) for one in made()["set"].values())]),
    ]  # fmt: skip
    todo = [(prompt, *one) for prompt in PROMPTS for one in several]
    with ThreadPoolExecutor(len(todo)) as pool:
        found = list(pool.map(lambda one: client.completions.create(**asked(one[0], one[1])), todo))
    told = [ids(one.choices[0]) for one in found]
    assert told == [expected(model, prompt, *interventions) for prompt, _, interventions in todo]
    # Vectors that change nothing show nothing.
    assert sum(one != told[i - i % len(several)] for i, one in enumerate(told)) >= 15


def test_chats_lists_of_prompts_several_texts_and_streams_are_steered(client, model):
    steering = {"vector": "calm", "multiplier": 1.5}
    todo = Intervention(made()["calm"], 1.5)
    chat = client.chat.completions.create(
        model=directory(MODEL), messages=[{"role": "user", "content": "What is it?"}], max_tokens=N, temperature=0.0,
        extra_body={"steering": steering, "return_token_ids": True},
    )  # fmt: skip
    assert ids(chat.choices[0]) == expected(model, ts.chat_prompt(model, "What is it?"), todo)
    many = client.completions.create(**asked(PROMPTS, steering))
    assert [ids(one) for one in many.choices] == [expected(model, prompt, todo) for prompt in PROMPTS]
    twice = client.completions.create(**asked("Sure", steering, n=2, temperature=0.5, top_p=0.001, seed=0))
    assert [ids(one) for one in twice.choices] == [expected(model, "Sure", todo)] * 2
    streamed = client.completions.create(**asked("Sure", steering, stream=True))
    assert ids(*(one.choices[0] for one in streamed)) == expected(model, "Sure", todo)


def test_an_answer_says_what_was_steered_and_at_how_many_tokens(client, address, model):
    steering = [{"vector": "calm", "multiplier": 1.5}, {"vector": "set", "positions": "last:2"}]
    several = dict(n=2, temperature=0.5, top_p=0.001, seed=0, steering=steering)
    answer = post(address, prompt=PROMPTS, **several).json()
    new = sum(len(one["token_ids"]) - 1 for one in answer["choices"])  # the last of each is not run
    n_prompt = answer["usage"]["prompt_tokens"]
    told = [(one["vector"], one["layer"], one["prompt_tokens"], one["completion_tokens"]) for one in answer["steering"]]
    assert told == [("calm", 2, n_prompt, new), ("set", 0, 2 * len(PROMPTS), 0), ("set", 3, 2 * len(PROMPTS), 0)]
    with collected_receipts() as receipts:
        expected(model, "Sure", made()["calm"])
    (whole,) = post(address, steering={"vector": "calm"}).json()["steering"]
    (own,) = receipts[0].entries
    assert whole["relative_norm"] == pytest.approx(own.relative_norm, rel=1e-3)
    assert (whole["prompt_tokens"], whole["completion_tokens"]) == (sum(own.prefill), sum(own.steps))
    assert "steering" not in post(address).json()
    asking = dict(model=directory(MODEL), max_tokens=N, temperature=0.0, stream=True, extra_body={"steering": steering})
    for stream in (
        client.completions.create(prompt=PROMPTS, **asking),
        client.chat.completions.create(messages=[{"role": "user", "content": "What is it?"}], **asking),
    ):
        events = [one for one in stream if "steering" in one.model_extra]
        assert all(one.choices[0].finish_reason for one in events)
        assert [one["vector"] for one in events[-1].model_extra["steering"]] == ["calm", "set", "set"]
    assert events[-1].model_extra["steering"][1]["prompt_tokens"] == 2


def test_what_makes_residuals_infinite_is_refused_and_not_answered(address):
    answer = post(address, steering={"vector": "calm", "multiplier": 1e30})
    assert answer.status_code == 400
    assert "not finite" in answer.json()["error"]["message"]


def test_the_vectors_are_listed_to_who_has_the_key(address):
    assert httpx.get(f"{address}/v1/vectors").status_code == 401
    told = httpx.get(f"{address}/v1/vectors", headers={"Authorization": f"Bearer {KEY}"}).json()
    assert [one["id"] for one in told["data"]] == ["calm", "loud", "off", "set"]
    assert [(one["layer"], one["stage"]) for one in told["data"][3]["vectors"]] == [(0, "mid"), (3, "pre")]
    assert told["data"][1]["vectors"][0]["operation"] == "clamp (constant 2)"


@pytest.mark.parametrize(
    ("steering", "said"),
    [
        ({"vector": "clam"}, "there is no vector 'clam'; there are calm, loud, off, set"),
        ({"vector": "calm", "layer": 3}, "its fields are vector, multiplier, operation, positions"),
        ({"vector": "calm", "positions": "after:xyz"}, "does not contain that text"),
        ({"vector": "calm", "multiplier": 1e39}, "too much for float32"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_there_is(address, steering, said):
    answer = post(address, steering=steering)
    assert answer.status_code == 400
    assert said in answer.json()["error"]["message"]
    assert answer.json()["error"]["param"] == "steering"


def test_nothing_reaches_the_workers_that_was_not_checked(address, model):
    for key, value in (("tlsteer", "garbage"), ("tlsteer_tag", "1"), ("tlsteer_asked", '{"vector": "calm"}')):
        assert post(address, vllm_xargs={key: value}).status_code == 400
    for path in ("/v1/responses", "/tokenize"):
        answer = post(address, path, input="Sure", steering={"vector": "calm"})
        assert "/v1/completions" in answer.json()["error"]["message"]
    assert "beam" in post(address, steering={"vector": "calm"}, use_beam_search=True).json()["error"]["message"]
    assert ids(post(address).json()["choices"][0]) == expected(model, "Sure")


def test_equally_and_differently_steered_requests_do_not_share_the_cache_of_others(client, model):
    prompt = " ".join(["Hello world, this is a test of the thing."] * 3)
    for name in ("calm", None, "loud", "calm", None):
        todo = [] if name is None else [made()[name]]
        found = client.completions.create(**asked(prompt, {"vector": name} if name else None))
        assert ids(found.choices[0]) == expected(model, prompt, *todo)


def test_salts_and_extra_arguments_of_ones_own_go_with_steering(address, model):
    answer = post(address, cache_salt="mine", vllm_xargs={"other": 1}, steering={"vector": "calm"})
    assert ids(answer.json()["choices"][0]) == expected(model, "Sure", made()["calm"])


def test_a_model_that_vllm_does_not_run_is_an_error_of_ours_in_a_line(tmp_path):
    vectors(1)[0].save(tmp_path / "calm.safetensors")
    options = ["--max-model-len", "100000"]
    with pytest.raises(ts.ModelError, match=r"^vLLM does not run .*: .*max_model_len \(100000\)") as caught:
        serve(directory(MODEL), tmp_path, host="127.0.0.1", port=0, dtype="float32", options=options, say=print)
    assert "\n" not in str(caught.value)


def test_wrong_calls_are_refused_before_a_model_is_run(tmp_path):
    def call(*options):
        serve(directory(MODEL), tmp_path, host="127.0.0.1", port=8000, dtype="float32", options=options, say=print)

    with pytest.raises(ts.VectorError, match="no folder with saved vectors"):
        call()
    ts.SteeringVector(torch.ones(WIDTH + 1), 1).save(tmp_path / "wide.safetensors")
    with pytest.raises(ts.VectorError, match=str(WIDTH + 1)):
        call()
    for option, name in (("--api-server-count=2", "api_server_count"), ("--quantization=fp8", "quantization")):
        with pytest.raises(ts.ModelError, match=name):
            call(option)
