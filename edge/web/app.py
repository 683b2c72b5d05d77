"""Puts the web room together: pages, API, guard, errors in plain words."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.staticfiles import StaticFiles
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, Response

from edge.errors import InputError, SteelyardError, Text
from edge.supervise import supervise
from edge.web import api, pages
from edge.web.board import Board
from edge.web.desk import Desk
from edge.web.guard import HEADERS, Guard
from edge.web.present import kg, spaced_plate
from edge.web.terms import CHECKED, doubt_text, grammar_text, join_text
from edge.web.texts import TEXTS
from edge.web.view import StationView


def create_app(station: StationView) -> FastAPI:
    """The station's pages; the desk that keeps the floor lives as long as the application."""
    templates = _templates(station)
    desk = Desk(station)

    @contextlib.asynccontextmanager
    async def desk_at_work(_app: FastAPI) -> AsyncIterator[None]:
        work = asyncio.create_task(supervise("floor", desk.run, station.health), name="floor")
        await desk.open.wait()
        yield
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    app = FastAPI(
        title="Steelyard", lifespan=desk_at_work, docs_url=None, redoc_url=None, openapi_url=None
    )
    app.state.station = station
    app.state.desk = desk
    app.state.templates = templates
    app.state.board = Board(station, desk, templates)
    for router in (api.router, pages.router):
        _answer_heads(router)
        app.include_router(router)
    app.mount("/static", StaticFiles(packages=[("edge.web", "static")]), name="static")
    app.add_middleware(Guard, host=station.config.model.web.host)
    app.add_exception_handler(SteelyardError, _explain)
    app.add_exception_handler(HTTPException, _not_there)
    app.add_exception_handler(RequestValidationError, _not_there)
    app.add_exception_handler(Exception, _broken)
    return app


def _answer_heads(router: APIRouter) -> None:
    """Supervisors and link checkers ask for heads; that of the endless stream would never end."""
    for route in router.routes:
        if isinstance(route, APIRoute) and route.methods == {"GET"} and route.path != "/events":
            route.methods = {"GET", "HEAD"}


def _templates(station: StationView) -> Environment:
    station.config.zone()
    environment = Environment(
        loader=PackageLoader("edge.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "kg": kg,
        "plate": spaced_plate,
        "doubt": doubt_text,
        "grammar": grammar_text,
        "checked": CHECKED.__getitem__,
        "join_reason": join_text,
    }
    environment.globals["local"] = station.local
    return environment


async def _explain(request: Request, error: Exception) -> Response:
    """An error that was raised on purpose: what, and what to do next."""
    assert isinstance(error, SteelyardError)
    status = 409 if isinstance(error, InputError) else 503
    return _error(request, status, error.what, error.next_step)


async def _not_there(request: Request, error: Exception) -> Response:
    """A page or record that is not there, or a question that was not understood."""
    status = error.status_code if isinstance(error, HTTPException) else 422
    return _error(request, status, TEXTS["error.missing"], Text("", ""))


async def _broken(request: Request, _error_: Exception) -> Response:
    """A fault of the program, which the log tells in full; the guard is not asked any more."""
    then = TEXTS["error.broken.next"]
    response = _error(request, 500, TEXTS["error.broken"], then)
    response.headers.update(HEADERS)
    return response


def _error(request: Request, status: int, what: Text, then: Text) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"zh": what.zh, "en": what.en}, status_code=status)
    response: HTMLResponse = pages.page(request, "error.html", status=status, what=what, then=then)
    return response
