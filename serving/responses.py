"""Responses in JSON, and the status code of each error."""

from collections.abc import Mapping

from fastapi import Response

from serving.encoding import json_bytes
from serving.errors import (
    FeatureUnknown,
    InvalidRequest,
    NoGeneration,
    RequestTooLarge,
    RequestTooSlow,
    ServingError,
    TooManyRequests,
    UserUnknown,
)

STATUS_CODES: dict[type[ServingError], int] = {
    InvalidRequest: 400,
    UserUnknown: 404,
    FeatureUnknown: 404,
    RequestTooSlow: 408,
    RequestTooLarge: 413,
    NoGeneration: 503,
    TooManyRequests: 503,
}


def json_response(value: object, status_code: int = 200) -> Response:
    """A JSON response that no cache may store, since features change by the second."""
    return Response(
        json_bytes(value),
        status_code=status_code,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )


def error_body(message: str) -> bytes:
    """A one-line message under `error`, and under `detail`, where clients of FastAPI look."""
    return json_bytes({"error": message, "detail": message})


def error_response(
    status_code: int, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """A one-line error message as JSON."""
    return Response(
        error_body(message),
        status_code=status_code,
        media_type="application/json",
        headers={"Cache-Control": "no-store", **(headers or {})},
    )


def refusal(error: ServingError) -> Response:
    """The response to a request that raised an error."""
    headers = {"Connection": "close"} if isinstance(error, RequestTooSlow) else None
    return error_response(STATUS_CODES[type(error)], str(error), headers)
