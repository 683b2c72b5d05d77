"""What stands between a browser and the pages: whom we answer, and what a page may do.

The station has no accounts yet, so the loopback address is the fence. Three holes of such fences
are closed here: DNS rebinding (a foreign name that points to us), a foreign page that posts a
form to us, and injected markup (no inline script or style runs).
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from edge.config import LOOPBACK

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    # A browser must not keep plates and pictures longer than the station may.
    "Cache-Control": "no-store",
}


class Guard:
    """ASGI middleware: checks Host and Origin, adds the security headers."""

    def __init__(self, app: ASGIApp, host: str) -> None:
        self._app = app
        self._names = LOOPBACK | {host.lower()}
        # A rebinding attack always comes under a name; a bare address is the machine itself.
        self._any_address = host in {"0.0.0.0", "::"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, refuse, or hand on one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope["method"], headers)
        app = PlainTextResponse(refusal, status_code=403) if refusal else self._app

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await app(scope, receive, with_headers)

    def _refusal(self, method: str, headers: Headers) -> str:
        host = headers.get("host", "")
        if not self._known(_name(host)):
            return "主机名不对：请用站点的地址打开 / wrong host: open the station by its address\n"
        if method not in {"GET", "HEAD"} and not _same_origin(headers, host):
            return "只接受本站页面的操作 / only the station's own pages may do this\n"
        return ""

    def _known(self, name: str) -> bool:
        return name in self._names or (self._any_address and _is_address(name))


def _name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _same_origin(headers: Headers, host: str) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") == "same-origin"
    return bool(host) and origin in {f"http://{host}", f"https://{host}"}
