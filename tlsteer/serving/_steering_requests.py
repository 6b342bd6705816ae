"""A layer of a web server, which takes "steering" out of requests and refuses what cannot be done."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from tlsteer.errors import TlsteerError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

FIELD = "steering"
# In a request's extra arguments, what it asks for; put there by nobody else.
ASKED = "tlsteer_asked"
_PATHS = ("/v1/completions", "/v1/chat/completions")
# Far more than the longest prompt of any model.
LARGEST_BODY = 2**26


class SteeringRequests:
    """Moves a request's "steering", once it is checked, to where vLLM keeps extra arguments; the rest stays as it is.

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
            sent = self._changed(scope, b"".join(body))
        except TlsteerError as error:
            return await JSONResponse(_error(str(error), 400), 400)(scope, receive, send)
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


def _is_json(scope: Scope) -> bool:
    kinds = [value for name, value in scope["headers"] if name == b"content-type"]
    return not kinds or b"json" in kinds[0].lower()


def _first(body: bytes, receive: Receive) -> Receive:
    """Gives a request's body, and then whatever follows it."""
    left: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def given() -> Message:
        return left.pop() if left else await receive()

    return given


def _error(message: str, code: int) -> dict[str, Any]:
    """An answer in the form of vLLM's own refusals."""
    return {"error": {"message": message, "type": "BadRequestError", "param": FIELD, "code": code}}
