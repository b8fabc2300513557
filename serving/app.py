"""The HTTP API. Handlers only parse, ask a service and encode; reads run in threads."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar
from urllib.parse import unquote

import msgspec
from fastapi import FastAPI, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException

from featurestore.errors import FeatureStoreError
from serving.errors import InvalidRequest, ServingError
from serving.identifiers import checked_user_id, shown
from serving.metrics import CountRequests, ServingMetrics
from serving.online_features import OnlineFeaturesRequest
from serving.outage_log import OutageLog
from serving.page import add_page
from serving.requests import HeadAsGet, PathAsSent, RequestLimit, WholeRequest
from serving.responses import error_response, json_response, refusal
from serving.services import Services
from serving.settings import ServingSettings

T = TypeVar("T")


class UsersRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The body of `POST /v1/users`."""

    user_ids: list[Any]
    max_staleness: float | None = None


MaxStaleness = Annotated[
    float | None,
    Query(description="leave out features that may miss changes older than so many seconds"),
]
NumNeighbours = Annotated[int, Query(description="number of users")]


def create_app(services: Services, settings: ServingSettings) -> FastAPI:
    """The application over services that the caller opened and will close."""
    app = FastAPI(
        title="mmga",
        description="User representations and statistics",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # the address would be made of the request's Host
    )
    metrics = app.state.metrics = ServingMetrics(services)
    _add_middleware(app, metrics, settings)
    _add_lookups(app, services)
    _add_feast(app, services)
    _add_health(app, services)
    _add_metrics(app, metrics)
    outages = OutageLog()
    add_page(app, services, outages)
    _add_errors(app, outages)
    return app


def _add_middleware(app: FastAPI, metrics: ServingMetrics, settings: ServingSettings) -> None:
    """What is added last sees a request first."""
    app.add_middleware(RequestLimit, max_requests=settings.max_requests)
    app.add_middleware(
        WholeRequest, max_bytes=settings.max_body_bytes, seconds=settings.body_seconds
    )
    app.add_middleware(HeadAsGet)
    app.add_middleware(CountRequests, metrics=metrics)
    app.add_middleware(PathAsSent)


def _add_lookups(app: FastAPI, services: Services) -> None:
    @app.get("/v1/users/{user_id}/similar")
    def similar(user_id: str, k: NumNeighbours = 10) -> Response:
        """The most similar users in the active generation, the most similar first."""
        return json_response(services.similar.nearest(decoded_user_id(user_id), k))

    @app.get("/v1/users/{user_id}")
    def user(user_id: str, max_staleness: MaxStaleness = None) -> Response:
        """The features of one user."""
        found = services.lookup.user(decoded_user_id(user_id), max_staleness=max_staleness)
        return json_response(found)

    @app.post("/v1/users")
    async def users(request: Request) -> Response:
        """The features of several users, all from one generation."""
        body = decoded_body(await request.body(), UsersRequest)

        def answer() -> Response:
            return json_response(
                services.lookup.users(body.user_ids, max_staleness=body.max_staleness)
            )

        return await run_in_threadpool(answer)


def _add_feast(app: FastAPI, services: Services) -> None:
    @app.post("/get-online-features")
    async def get_online_features(request: Request) -> Response:
        """Features as columns, in the protocol of Feast's remote online store."""
        body = decoded_body(await request.body(), OnlineFeaturesRequest)
        return await run_in_threadpool(lambda: json_response(services.online_features.answer(body)))


def _add_health(app: FastAPI, services: Services) -> None:
    @app.get("/healthz")
    async def healthz() -> Response:
        """The process is alive."""
        return json_response({"status": "alive"})

    @app.get("/readyz")
    def readyz() -> Response:
        """The online store is readable and a generation is active."""
        return json_response({"status": "ready", "generation": services.published.required().id})


def _add_metrics(app: FastAPI, metrics: ServingMetrics) -> None:
    @app.get("/metrics", include_in_schema=False)
    def exposition() -> Response:
        """Metrics in Prometheus' text format."""
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_LATEST)


def _add_errors(app: FastAPI, outages: OutageLog) -> None:
    @app.exception_handler(ServingError)
    async def refused(request: Request, error: ServingError) -> Response:
        return refusal(error)

    @app.exception_handler(FeatureStoreError)
    async def unavailable(request: Request, error: FeatureStoreError) -> Response:
        outages.tell(error)
        return error_response(503, "the feature store cannot be read now: see the server's log")

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        return error_response(400, f"{'.'.join(map(str, first['loc']))}: {first['msg']}")

    @app.exception_handler(HTTPException)
    async def not_served(request: Request, error: HTTPException) -> Response:
        message = f"{error.detail} ({shown(request.url.path)}): see /openapi.json"
        return error_response(error.status_code, message, with_head(error.headers))

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> Response:
        return error_response(500, "internal error: see the server's log")


def with_head(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Headers of an error; where GET is allowed, HEAD is too."""
    return {
        name: f"{value}, HEAD" if name == "Allow" and "GET" in value else value
        for name, value in (headers or {}).items()
    }


def decoded_user_id(segment: str) -> str:
    """The user id of a percent-encoded path segment. Raises InvalidRequest."""
    try:
        return checked_user_id(unquote(segment, errors="strict"))
    except UnicodeDecodeError as error:
        raise InvalidRequest("the user id in the path is not UTF-8") from error


def decoded_body(body: bytes, model: type[T]) -> T:
    """The body as a request of type `model`. Raises InvalidRequest."""
    try:
        return msgspec.json.decode(body, type=model)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"the body is not a valid request: {error}") from error
    except RecursionError as error:
        raise InvalidRequest(
            "the body is not a valid request: its JSON nests too deeply"
        ) from error
