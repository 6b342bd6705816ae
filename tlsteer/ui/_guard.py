"""What stands before the page: who may ask, and what browsers may do with the answers."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# Nothing but the page's own files runs or is fetched, and no text becomes markup even by mistake.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
# Asked for by browsers on behalf of another site's page.
_FOREIGN = ("cross-site", "same-site")


class Guard:
    """Lets requests through whose address begins with the token, and which no other site's page can have made.

    Args:
        app: what is guarded; it sees addresses without the token.
        token: the first part of every address, compared in a time that tells nothing of it.
        names: what this machine may be called in an address, besides "localhost" and IP addresses. A page of another
            site can point a name of its own at this machine, but not a number.
        policy: what may run and be fetched in its pages; by default the page's own files.
    """

    def __init__(self, app: ASGIApp, token: str, names: Iterable[str] = (), policy: str | None = None) -> None:
        self._app, self._token = app, token
        self._headers = {"content-security-policy": policy or _POLICY} | _HEADERS
        self._names = {"localhost", *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or hands it on."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(self._headers)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            return await refusal(scope, receive, sealed)
        path = "/" + scope["path"].removeprefix("/").partition("/")[2]
        return await self._app({**scope, "path": path, "raw_path": path.encode()}, receive, sealed)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if not self._is_here(host):
            return PlainTextResponse("This page is not served under that name.", 421)
        origin = headers.get("origin")
        if (origin is not None and origin != f"{scope['scheme']}://{host}") or (
            headers.get("sec-fetch-site") in _FOREIGN
        ):
            return PlainTextResponse("Another site's page cannot ask for this.", 403)
        token, *rest = scope["path"].removeprefix("/").split("/", 1)
        if not hmac.compare_digest(token.encode(errors="replace"), self._token.encode()):
            return PlainTextResponse("Open the address that the terminal shows, with all its letters.", 403)
        return None if rest else RedirectResponse(f"/{self._token}/", 308)

    def _is_here(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        try:
            ipaddress.ip_address(name.partition("%")[0])
        except ValueError:
            return name in self._names
        return True
