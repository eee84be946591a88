"""The addresses of the lab.

    GET  /desk/lab               the result and the systems
    GET  /desk/lab/plot/{name}   a plot of the result
    POST /desk/lab/run           {first, second, prompt, tokens}: a comparison; the answer is its stream of events, and
                                 who leaves it ends the comparison
    POST /desk/lab/stop          {id}: ends a comparison

A refusal is {"error": …, "sentence": …}, as it is from the desk's verbs.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app.answers import answer, refusal
from app.draft import storable
from app.events import Subscription
from app.lab import MOST_PROMPT, Comparison, Lab, LabRefused
from app.lab_networks import NoNetworks
from app.verbs import BadRequest, Fields, Json

MOST_ID = 500
"""Characters of what names a system or a comparison."""


def lab_routes(
    lab: Lab, body: Callable[[Request], Awaitable[Json]], stream: Callable[[Subscription], Response]
) -> APIRouter:
    """body: a request's JSON, or BadRequest. stream: events as an answer."""
    routes = APIRouter(prefix="/desk/lab")

    @routes.get("")
    def overview() -> Response:
        return answer(lab.overview())

    @routes.get("/plot/{name}")
    def plot(name: str) -> Response:
        content = lab.plot(name)
        if content is None:
            return refusal(404, "NotFound", "There is no such plot.")
        return Response(content, headers={"Cache-Control": "no-cache"}, media_type="image/svg+xml")

    @routes.post("/run")
    async def run(request: Request) -> Response:
        try:
            given = Fields(await body(request))
            comparison = await run_in_threadpool(_begin, lab, given)
        except BadRequest as error:
            return refusal(400, "BadRequest", str(error))
        except (LabRefused, NoNetworks) as error:
            return refusal(422, type(error).__name__, str(error))
        return stream(comparison.news)

    @routes.post("/stop")
    async def stop(request: Request) -> Response:
        try:
            lab.stop(Fields(await body(request)).text("id", MOST_ID))
        except BadRequest as error:
            return refusal(400, "BadRequest", str(error))
        return answer({})

    return routes


def _begin(lab: Lab, given: Fields) -> Comparison:
    systems = given.text("first", MOST_ID), given.text("second", MOST_ID)
    return lab.begin(
        systems,
        storable(given.text("prompt", MOST_PROMPT)),
        given.integer("tokens"),
        seed=given.optional_integer("seed"),
        steps=given.optional_integer("steps"),
    )
