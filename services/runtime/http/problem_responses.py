"""Problem documents in FastAPI: one call makes every error an RFC 9457 document."""

from __future__ import annotations

import uuid

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from services.runtime.http.problems import (
    MEDIA_TYPE,
    Problem,
    ProblemError,
    fault,
    fault_of,
    language_of,
)
from services.runtime.identity.signed_links import loggable

_BY_STATUS = {401: "unauthenticated", 404: "not_found", 412: "precondition_failed"}
_FORMS = ("multipart/", "application/x-www-form-urlencoded")

log = structlog.get_logger(__name__)


def problem_response(problem: Problem, request: Request) -> Response:
    """Return the problem as a response in the language of the request.

    Adds `Retry-After` and `WWW-Authenticate` if they apply.
    """
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    language = language_of(request.headers.get("accept-language"))
    headers["Content-Language"] = language
    return Response(problem.body(language, request.url.path), problem.status, headers, MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Register the handlers on `app`."""

    @app.exception_handler(ProblemError)
    async def known(request: Request, error: ProblemError) -> Response:
        return problem_response(error.problem, request)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        # FastAPI parses a body as JSON only if its media type says so
        if isinstance(error.body, bytes):
            return problem_response(
                Problem("media_type", {"expected": "application/json"}), request
            )
        faults = tuple(fault_of(e, skip="body") for e in error.errors()[:20])
        return problem_response(Problem("invalid", faults=faults), request)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "")
            response = problem_response(
                Problem("method_not_allowed", {"allowed": allowed}), request
            )
            response.headers["Allow"] = allowed
            return response
        if error.status_code == 413:
            return problem_response(Problem("body_too_large", {"limit": error.detail}), request)
        if error.status_code == 400:
            return problem_response(_unreadable(request), request)
        if code := _BY_STATUS.get(error.status_code):
            return problem_response(Problem(code), request)
        return (
            problem_response(Problem("conflict", {"what": str(error.detail)}), request)
            if error.status_code == 409
            else _plain(error)
        )

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        reference = uuid.uuid4().hex[:12]
        log.error(
            "request.failed",
            reference=reference,
            path=loggable(request.url.path),
            method=request.method,
            exc_info=error,
        )
        response = problem_response(Problem("internal", {"reference": reference}), request)
        response.headers["Connection"] = (
            "close"  # uvicorn closes the connection: the client must not send another request on it
        )
        return response


def _unreadable(request: Request) -> Problem:
    """Return the problem of a body that no parser accepts.

    Examples: a form without its boundary, JSON of a thousand levels, a number of thousands of
    digits.
    """
    if request.headers.get("content-type", "").lower().startswith(_FORMS):
        return Problem(
            "invalid", faults=(fault("body", "form", "formulaire illisible", "unreadable form"),)
        )
    return Problem(
        "not_json", faults=(fault("body", "json_invalid", "JSON illisible", "unreadable JSON"),)
    )


def _plain(error: HTTPException) -> Response:
    body = {"type": "about:blank", "title": str(error.detail), "status": error.status_code}
    return Response(orjson.dumps(body), error.status_code, error.headers, MEDIA_TYPE)
