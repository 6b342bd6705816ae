import asyncio
import json

import pytest

from tlsteer.errors import DataError
from tlsteer.serving import _steering_requests
from tlsteer.serving._steering_requests import ASKED, SteeringRequests

PATH = "/v1/completions"


def check(asked):
    if asked != {"vector": "known"}:
        raise DataError("there are known")


def ask(body, path=PATH, method="POST", kind=b"application/json", n_parts=3):
    """What the server behind got, byte for byte, and what was answered."""
    got, answered = [], []

    async def app(scope, receive, send):
        while True:
            message = await receive()
            got.append(message["body"])
            if not message["more_body"]:
                break
        assert (await receive())["type"] == "http.disconnect"  # what follows the body is heard too
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    size = len(body) // n_parts + 1
    parts = [body[i * size : (i + 1) * size] for i in range(n_parts)]
    messages = [{"type": "http.request", "body": one, "more_body": i < n_parts - 1} for i, one in enumerate(parts)]
    messages.append({"type": "http.disconnect"})

    async def receive():
        return messages.pop(0)

    async def send(message):
        answered.append(message)

    scope = {"type": "http", "method": method, "path": path, "headers": [(b"content-type", kind)]}
    asyncio.run(SteeringRequests(app, check)(scope, receive, send))
    told = b"".join(one.get("body", b"") for one in answered[1:])
    return b"".join(got), answered[0]["status"], json.loads(told)["error"]["message"] if told else None


def test_steering_goes_to_the_extra_arguments_and_the_rest_stays():
    body = {"prompt": "a", "steering": {"vector": "known"}, "vllm_xargs": {"other": 1}}
    got, status, _ = ask(json.dumps(body).encode())
    asked = json.dumps({"vector": "known"})
    assert (json.loads(got), status) == ({"prompt": "a", "vllm_xargs": {"other": 1, ASKED: asked}}, 200)


@pytest.mark.parametrize(
    "body", [b'{"prompt":  "a"}', b'{"steering": null}', b"not json", b"[1]", b"", b'"steering"', b"\xff\xfe"]
)
def test_a_request_without_steering_goes_on_byte_for_byte(body):
    assert ask(body)[:2] == (body, 200)
    assert ask(body, n_parts=1)[:2] == (body, 200)


def test_what_is_no_json_is_not_looked_at():
    body = b'{"steering": {"vector": "unknown"}}'
    assert ask(body, kind=b"multipart/form-data")[:2] == (body, 200)
    assert ask(body, method="GET")[:2] == (body, 200)


@pytest.mark.parametrize(
    ("body", "path", "said"),
    [
        (b'{"steering": {"vector": "unknown"}}', PATH, "there are known"),
        (b'{"\\u0073teering": {"vector": "unknown"}}', PATH, "there are known"),
        (b'{"steering": {"vector": "known"}}', "/v1/responses", "/v1/chat/completions"),
        (b'{"steering": {"vector": "known"}, "use_beam_search": true}', PATH, "beam"),
        (b'{"vllm_xargs": {"tlsteer_asked": "{}"}}', PATH, "steering"),
        (b'{"a": ' * 100_000, PATH, "nested"),
    ],
)
def test_what_is_not_done_is_refused_and_goes_no_further(body, path, said):
    got, status, told = ask(body, path)
    assert (got, status) == (b"", 400)
    assert said in told


def test_a_body_that_is_too_large_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(_steering_requests, "LARGEST_BODY", 10)
    got, status, told = ask(b"x" * 30)
    assert (got, status) == (b"", 413)
    assert "10 bytes" in told
