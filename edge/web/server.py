"""The web server inside the station's event loop: no signal handlers, no access log, quick end.

It shares its descriptors with ports and store, so idle or countless connections may not eat them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from edge.errors import ConfigError, LinkDown, why_zh

MOST_CONNECTIONS = 64
SILENT_S = 10.0
"""How long a connection may be open before its first request is there, or its next one."""


class _Embedded(uvicorn.Server):
    """Uvicorn that leaves the process's signals to the station."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals belong to the composition root."""
        yield


class _Bounded(H11Protocol):
    """Hangs up on connections beyond the bound, and on those that ask nothing."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MOST_CONNECTIONS:
            transport.abort()
        else:
            self.loop.call_later(SILENT_S, self._hang_up_on_silence, None)

    def on_response_complete(self) -> None:
        answered = self.cycle
        super().on_response_complete()
        # Half a request, or a body that never ends, stops the timer that uvicorn keeps itself.
        self.loop.call_later(SILENT_S, self._hang_up_on_silence, answered)

    def _hang_up_on_silence(self, answered: RequestResponseCycle | None) -> None:
        if self.cycle is answered:
            self.transport.abort()


class WebServer:
    """Serves an application on one address; binds at once, so that ``url`` is true."""

    def __init__(self, app: FastAPI, host: str, port: int) -> None:
        self._app = app
        self._socket = _bind(host, port)
        config = uvicorn.Config(
            app,
            http=_Bounded,
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="on",
            timeout_graceful_shutdown=1,
        )
        self._server = _Embedded(config)

    @property
    def url(self) -> str:
        """Where the page is."""
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    async def run(self) -> None:
        """Serve until cancelled; open streams are ended, not awaited."""
        serving = asyncio.create_task(self._server.serve(sockets=[self._socket]), name="web")
        try:
            await asyncio.shield(serving)
        finally:
            self._server.should_exit = True
            self._app.state.station.feed.end_subscriptions()
            await serving


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket.

    Raises
    ------
    LinkDown
        The port is taken; it may come free.
    ConfigError
        The address is not this machine's, or the port needs rights.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(128)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        raise _explain(host, port, error) from error
    listener.setblocking(False)
    return listener


def _explain(host: str, port: int, error: OSError) -> LinkDown | ConfigError:
    if error.errno == errno.EADDRINUSE:
        return LinkDown(
            f"网页端口 {host}:{port} 已被别的程序占用",
            f"the port {host}:{port} of the web page is taken by another program",
            next_zh="关掉那个程序，或在 [web] port 换一个端口",
            next_en="stop that program, or choose another [web] port",
        )
    return ConfigError(
        f"网页不能在 {host}:{port} 上打开{why_zh(error)}",
        f"the web page cannot listen on {host}:{port}: {error.strerror}",
        next_zh="检查 [web] host 和 port",
        next_en="check [web] host and port",
    )
