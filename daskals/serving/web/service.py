"""The service: its addresses, what each takes and gives, as FastAPI and OpenAPI tell them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.staticfiles import StaticFiles
from swagger_ui_bundle import swagger_ui_path

import daskals
from daskals.cluster.connect import available_cores
from daskals.config.serving import Limits
from daskals.errors import DaskalsError, StoreError
from daskals.model.ordered import ListOrder
from daskals.serving.web.answers import UnknownError, as_json
from daskals.serving.web.batches import Batches, Busy, Work
from daskals.serving.web.document import MALFORMED, tell_limits
from daskals.serving.web.guard import FAULT, Guard, Refused, error_body
from daskals.serving.web.live import Live
from daskals.serving.web.metrics import Metrics
from daskals.serving.web.questions import (
    ExplainQuestion,
    FilterSpec,
    PredictQuestion,
    RecommendQuestion,
)
from daskals.serving.web.replies import Explained, Failure, Health, Predicted, Recommended, Similar

WRONG: dict[int | str, dict[str, Any]] = {
    status: {"model": Failure, "description": text}
    for status, text in {
        401: "No valid token.",
        404: "An unknown user, item or genre.",
        413: "A body that is too large.",
        422: "What was asked cannot be.",
        503: "Too many requests wait, or the ratings of users are gone.",
        504: "It took too long.",
    }.items()
}


def make_service(live: Live, limits: Limits | None = None, token: str | None = None) -> Guard:
    """Make the application that answers for a model.

    Parameters
    ----------
    live
        The model in use.
    limits
        What a request may ask for.
    token
        What requests must show as `Authorization: Bearer`; None: nothing.

    Returns
    -------
    Guard
        An ASGI application.
    """
    limits = limits or Limits()
    metrics = Metrics()
    api = _api(live, limits, metrics)

    async def recommend(question: RecommendQuestion) -> bytes:
        try:
            return await _recommend(api, live, limits, question)
        except DaskalsError as error:
            raise _refusal(error) from None

    return Guard(api, recommend, limits=limits, token=token, live=live, metrics=metrics)


def openapi(live: Live) -> dict[str, Any]:
    """Return the OpenAPI document of the service."""
    return _api(live, Limits(), Metrics()).openapi()


def _api(live: Live, limits: Limits, metrics: Metrics) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.batches = Batches(available_cores(), limits.max_waiting)
        live.start()
        yield
        live.end()
        app.state.batches.end()

    class Service(FastAPI):
        def openapi(self) -> dict[str, Any]:
            model = live.state.answers.model
            rated = model.predicts_ratings
            return tell_limits(super().openapi(), limits, model.profile_limits, rated=rated)

    api = Service(
        title="daskals",
        version=daskals.__version__,
        description="Recommendations, reasons and predicted ratings of one model.",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    _tell_errors(api)
    _add_questions(api, live, limits)
    _add_lists(api, live, limits)
    _add_state(api, live, metrics)
    return api


async def _answer(api: FastAPI, work: Work) -> Response:
    return Response(await _answered(api, work), media_type="application/json")


async def _recommend(api: FastAPI, live: Live, limits: Limits, question: RecommendQuestion) -> bytes:
    _check(limits, question)
    answers = live.state.answers
    return await _answered(api, lambda: answers.recommend(question))


async def _answered(api: FastAPI, work: Work) -> bytes:
    batches: Batches = api.state.batches
    try:
        return await batches.answer(work)
    except Busy:
        raise Refused(503, "too many requests wait already", {"retry-after": "1"}) from None


def _check(limits: Limits, question: BaseModel) -> None:
    """Refuse what is more than one request may ask for."""
    for name, most in (
        ("n", limits.max_n),
        ("ratings", limits.max_profile),
        ("pairs", limits.max_pairs),
        ("items", limits.max_pairs),
    ):
        value = getattr(question, name, None)
        _check_most(name, value if isinstance(value, int) else len(value or ()), most)


def _check_most(name: str, found: int, most: int) -> None:
    if found > most:
        raise Refused(422, f"{name}: found {found:,}; expected at most {most:,}.")


def _add_questions(api: FastAPI, live: Live, limits: Limits) -> None:
    @api.post("/v1/recommend", response_model=Recommended, responses=WRONG, tags=["lists"])
    async def recommend(question: RecommendQuestion) -> Response:
        """List what suits a user, or somebody new with these ratings, best."""
        return Response(await _recommend(api, live, limits, question), media_type="application/json")

    @api.post("/v1/explain", response_model=Explained, responses=WRONG, tags=["reasons"])
    async def explain(question: ExplainQuestion) -> Response:
        """Tell which of a person's ratings a rating, or a place in a list, comes from; it adds up."""
        _check(limits, question)
        answers = live.state.answers
        return await _answer(api, lambda: answers.explain(question))

    @api.post("/v1/predict", response_model=Predicted, responses=WRONG, tags=["ratings"])
    async def predict(question: PredictQuestion) -> Response:
        """Predict the ratings of pairs, or of items by somebody new, within the scale; of clicks, scores."""
        _check(limits, question)
        answers = live.state.answers
        return await _answer(api, lambda: answers.predict(question))


# so many that an address never becomes longer than what reads it takes, 64 KiB
Genres = Annotated[list[Annotated[str, Query(max_length=100)]], Query(max_length=30)]
Named = Annotated[str, Query(max_length=1000)]


def _add_lists(api: FastAPI, live: Live, limits: Limits) -> None:
    @api.get("/v1/recommend", response_model=Recommended, responses=WRONG, tags=["lists"])
    async def recommend_user(
        user: Named,
        n: Annotated[int, Query(ge=1)] = 10,
        order: ListOrder | None = None,
        min_ratings: Annotated[int, Query(ge=0, le=2**62)] = 0,
        genre: Genres = [],  # noqa: B006 - FastAPI copies it
        include_seen: bool = False,  # noqa: FBT001, FBT002 - a part of an address
    ) -> Response:
        """List what suits a user of the model best."""
        filters = FilterSpec(min_ratings=min_ratings, genres=genre)
        question = RecommendQuestion(user=user, n=n, order=order, filters=filters, include_seen=include_seen)
        return Response(await _recommend(api, live, limits, question), media_type="application/json")

    @api.get("/v1/similar", response_model=Similar, responses=WRONG, tags=["lists"])
    async def similar(
        item: Named,
        n: Annotated[int, Query(ge=1)] = 10,
        min_ratings: Annotated[int, Query(ge=0, le=2**62)] = 0,
        genre: Genres = [],  # noqa: B006 - FastAPI copies it
    ) -> Response:
        """List the items nearest in taste to one."""
        _check_most("n", n, limits.max_n)
        filters = FilterSpec(min_ratings=min_ratings, genres=genre)
        answers = live.state.answers
        return await _answer(api, lambda: answers.similar(item, n, filters))


def _add_state(api: FastAPI, live: Live, metrics: Metrics) -> None:
    @api.get("/health", response_model=Health, tags=["state"])
    async def health() -> Response:
        """Tell which model answers, and why a newer one does not, if there is one."""
        answers, notice = live.state
        content = {
            "model": answers.name,
            "generation": answers.generation,
            "users": len(answers.model.user_ids),
            "items": len(answers.model.item_ids),
            "order": answers.model.list_order(),
            "ratings": answers.model.predicts_ratings,
            "notice": notice,
        }
        return Response(as_json(content), media_type="application/json")

    @api.get("/metrics", tags=["state"], response_class=Response)
    async def figures() -> Response:
        """Tell figures of the service in Prometheus' text format."""
        return Response(metrics.text(live.state), media_type="text/plain; version=0.0.4; charset=utf-8")

    @api.get("/docs", include_in_schema=False)
    async def page() -> Response:
        """Show the OpenAPI page; all of it comes from here."""
        return get_swagger_ui_html(
            openapi_url="/openapi.json",
            title="daskals",
            swagger_js_url="/docs/files/swagger-ui-bundle.js",
            swagger_css_url="/docs/files/swagger-ui.css",
            swagger_favicon_url="/docs/files/favicon-32x32.png",
        )

    api.mount("/docs/files", StaticFiles(directory=swagger_ui_path))


def _tell_errors(api: FastAPI) -> None:
    def failed(status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
        return Response(error_body(text), status, headers, media_type="application/json")

    @api.exception_handler(Refused)
    async def refused(request: Request, error: Refused) -> Response:  # noqa: ARG001
        return failed(error.status, error.text, error.headers)

    @api.exception_handler(Exception)
    async def fault(request: Request, error: Exception) -> Response:  # noqa: ARG001
        return failed(500, FAULT)

    @api.exception_handler(DaskalsError)
    async def wrong(request: Request, error: DaskalsError) -> Response:  # noqa: ARG001
        refused = _refusal(error)
        return failed(refused.status, refused.text)

    @api.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:  # noqa: ARG001
        return failed(422, _in_words(error.errors()[0]))

    @api.exception_handler(ValidationError)
    async def impossible(request: Request, error: ValidationError) -> Response:  # noqa: ARG001
        return failed(422, _in_words(dict(error.errors()[0])))

    @api.exception_handler(HTTPException)
    async def elsewhere(request: Request, error: HTTPException) -> Response:
        if error.status_code == 400:  # FastAPI's word for a body that it cannot even parse
            return failed(422, f"found {MALFORMED}")
        headers = error.headers
        if error.status_code == 405:  # Starlette names the methods of the first route alone
            headers = {"allow": ", ".join(_methods(api, request.url.path))}
        text = f"{error.detail}: {request.method} {request.url.path}; /docs tells what there is"
        return failed(error.status_code, text, headers)


def _methods(api: FastAPI, path: str) -> list[str]:
    """Return what an address can be asked with, by whichever of its routes."""
    routes = [route for route in api.routes if isinstance(route, Route) and route.path == path]
    return sorted({method for route in routes for method in route.methods or ()})


def _refusal(error: DaskalsError) -> Refused:
    """Return what is answered where a question cannot be."""
    status = 404 if isinstance(error, UnknownError) else 503 if isinstance(error, StoreError) else 422
    return Refused(status, str(error))


def _in_words(error: dict[str, Any]) -> str:
    """Say the first thing that is wrong with a request; what was sent is not repeated."""
    place = ".".join(str(part) for part in error["loc"] if part not in ("body", "query"))
    text = str(error["msg"]).removeprefix("Value error, ")
    return f"{place}: {text}." if place else f"{text}."
