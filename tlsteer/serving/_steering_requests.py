"""A layer of a web server: takes "steering" out of requests, refuses what cannot be done, and tells what was."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tlsteer.errors import TlsteerError
from tlsteer.serving._http_answers import FIELD, Answer, current

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# In a request's extra arguments, what it asks for; put there by nobody else.
ASKED = "tlsteer_asked"
_PATHS = ("/v1/completions", "/v1/chat/completions")
# Far more than the longest prompt of any model.
LARGEST_BODY = 2**26


class SteeringRequests:
    """Moves a request's "steering", once it is checked, to where vLLM keeps extra arguments; the rest stays as it is.

    What was steered is in the answer; a request without "steering", and its answer, go on byte for byte.

    Args:
        app: the server.
        check: raises TlsteerError for steering that is not done.
    """

    def __init__(self, app: ASGIApp, check: Callable[[Any], object]) -> None:
        self._app, self._check = app, check

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or hands it on."""
        if scope["type"] != "http" or scope["method"] != "POST" or not _is_json(scope):
            return await self._app(scope, receive, send)
        from starlette.responses import JSONResponse

        body, size = [], 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return None  # who asked has gone
            body.append(message.get("body", b""))
            size += len(body[-1])
            if size > LARGEST_BODY:
                told = _error(f"the request has more than {LARGEST_BODY} bytes", 413)
                return await JSONResponse(told, 413)(scope, receive, send)
            if not message.get("more_body"):
                break
        try:
            sent = self._changed(scope, whole := b"".join(body))
        except TlsteerError as error:
            return await JSONResponse(_error(str(error), 400), 400)(scope, receive, send)
        if sent is not whole:
            current.set(answer := Answer())
            send = _telling(answer, send)
        return await self._app(scope, _first(sent, receive), send)

    def _changed(self, scope: Scope, body: bytes) -> bytes:
        try:
            request = json.loads(body)
        except RecursionError:
            raise TlsteerError("the request is nested too deeply") from None
        except ValueError:
            return body  # the server says what is wrong
        if not isinstance(request, dict):
            return body
        extra = request.get("vllm_xargs")
        if isinstance(extra, dict) and ASKED in extra:
            raise TlsteerError(f"vllm_xargs has {ASKED}; give {FIELD}, beside it")
        asked = request.pop(FIELD, None)
        if asked is None:
            return body
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if path not in _PATHS:
            raise TlsteerError(f"{path} takes no {FIELD}; {' and '.join(_PATHS)} do")
        if request.get("use_beam_search"):
            raise TlsteerError(f"{FIELD} and use_beam_search do not go together")
        self._check(asked)
        request["vllm_xargs"] = {**(extra or {}), ASKED: json.dumps(asked)}
        return json.dumps(request).encode()


def _is_json(head: Scope | Message) -> bool:
    kinds = [value for name, value in head["headers"] if name == b"content-type"]
    return not kinds or b"json" in kinds[0].lower()


def _first(body: bytes, receive: Receive) -> Receive:
    """Gives a request's body, and then whatever follows it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Message:
        return left.pop() if left else await receive()

    return given


def _telling(answer: Answer, send: Send) -> Send:
    """Sends an answer with what was steered in it: JSON when it is whole, a stream as it comes."""
    held: list[Message] = []

    async def told(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 200 and _is_json(message):
            held.append(message)  # its length is not known yet
        elif held:
            held.append(message)
            if not message.get("more_body"):
                start, *parts = held
                body = answer.whole(b"".join(one.get("body", b"") for one in parts))
                headers = [one for one in start["headers"] if one[0].lower() != b"content-length"]
                start["headers"] = [*headers, (b"content-length", str(len(body)).encode())]
                await send(start)
                await send({"type": "http.response.body", "body": body})
        else:
            if message["type"] == "http.response.body":
                message["body"] = answer.part(message.get("body", b""))
            await send(message)

    return told


def _error(message: str, code: int) -> dict[str, Any]:
    """An answer in the form of vLLM's own refusals."""
    return {"error": {"message": message, "type": "BadRequestError", "param": FIELD, "code": code}}
