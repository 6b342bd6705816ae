"""What was steered is told in the answer, of all prompts and texts together; all else stays as it was."""

import asyncio
import json

import pytest
import torch

import tlsteer as ts
from tlsteer.errors import ModelError, VectorError
from tlsteer.serving._http_answers import Answer, current
from tlsteer.serving._request_writes import Chosen, RequestWrite
from tlsteer.serving._steering_requests import SteeringRequests
from tlsteer.sites import Site

WRITES = [RequestWrite(Site(3, "mid"), torch.ones(4), 1.5, ts.Clamp(2.0), Chosen(1, 2**40))]
PLAIN = b'{"id": "x", "usage": {"prompt_tokens": 4}, "choices": []}'


def told(**counts):
    return [{"prompt": 0, "generated": 0, "cached": 0, "again": 0, "ratio": 0.0} | counts]


def noted():
    """A prompt of 4 tokens with 3 and 2 after it, and one of 2, of the cache, with 1: three are steered behind them."""
    answer = Answer()
    answer.note(["calm"], WRITES, told(prompt=6, generated=3, ratio=4.5), 4, [3, 2])
    answer.note(["calm"], WRITES, told(cached=1), 2, [1])
    return answer


def test_an_answer_counts_all_prompts_and_texts_together_and_keeps_what_it_said():
    got = json.loads(noted().whole(PLAIN))
    assert got.pop("steering") == [
        {"vector": "calm", "layer": 3, "stage": "mid", "operation": "clamp (constant 2)", "multiplier": 1.5,
         "prompt_tokens": 4, "completion_tokens": 3, "relative_norm": 0.5}
    ]  # fmt: skip
    assert got == json.loads(PLAIN)
    assert Answer().whole(PLAIN) == PLAIN


def test_of_what_all_came_from_the_cache_no_length_is_told():
    answer = Answer()
    answer.note(["calm"], WRITES, told(cached=1), 2, [1])
    (one,) = json.loads(answer.whole(PLAIN))["steering"]
    assert (one["prompt_tokens"], one["relative_norm"]) == (1, None)


def test_in_a_stream_the_event_that_ends_a_text_has_it():
    going, ending = (b'data: {"choices":[{"finish_reason":%s}]}\n\n' % reason for reason in (b"null", b'"length"'))
    answer = noted()
    others = [going, b'data: {"choices":[]}\n\n', b'data: {"error":{}}\n\n', b"data: [DONE]\n\n"]
    assert [answer.part(one) for one in others] == others
    event = answer.part(ending)
    assert event.endswith(b"}\n\n")
    assert json.loads(event.removeprefix(b"data: "))["steering"][0]["completion_tokens"] == 3
    assert answer.part(ending) == ending  # it is told once


@pytest.mark.parametrize(
    ("counts", "error"),
    [
        (told(prompt=3, generated=1), ModelError),
        (None, ModelError),
        (told(prompt=3, generated=2, ratio=float("nan")), VectorError),
        (told(prompt=3, generated=2, ratio=float("inf")), VectorError),
    ],
)
def test_tokens_that_were_not_steered_and_residuals_that_are_not_finite_are_errors(counts, error):
    with pytest.raises(error):
        Answer().note(["calm"], WRITES, counts, 4, [3])


@pytest.mark.parametrize("asked", [True, False])
@pytest.mark.parametrize("kind", [b"application/json", b"text/event-stream; charset=utf-8"])
def test_the_server_s_answer_to_who_asks_for_steering_has_it_and_no_other(asked, kind):
    sent = []
    ending = b'{"choices":[{"finish_reason":"stop"}]}'
    body = ending if b"json" in kind else b"data: " + ending + b"\n\n"

    async def app(scope, receive, send):
        await receive()
        if asked:
            current.get().note(["calm"], WRITES, told(prompt=3, generated=2), 4, [3])
        headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode()), (b"x-own", b"1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        parts = [body[:9], body[9:]] if b"json" in kind else [body]
        for number, part in enumerate(parts, start=1):
            await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})

    async def receive():
        own = {"steering": {"vector": "calm"}} if asked else {}
        return {"type": "http.request", "body": json.dumps({"prompt": "a"} | own).encode()}

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/v1/completions", "headers": []}
    asyncio.run(SteeringRequests(app, lambda _: None)(scope, receive, send))
    got = b"".join(one.get("body", b"") for one in sent)
    headers = dict(sent[0]["headers"])
    assert headers[b"x-own"] == b"1"
    assert (got == body) is not asked
    assert (json.loads(got.removeprefix(b"data: ")).get("steering") is not None) is asked
    if b"json" in kind:
        assert int(headers[b"content-length"]) == len(got)
