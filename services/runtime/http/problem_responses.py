"""Problem documents in FastAPI: one call makes every error an RFC 9457 document."""

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
    build_fault,
    convert_fault,
    describe_size,
)
from services.runtime.http.request_headers import choose_language
from services.runtime.identity.signed_links import hide_token

_CODE_BY_STATUS = {401: "unauthenticated", 404: "not_found", 412: "precondition_failed"}
_FORM_TYPES = ("multipart/", "application/x-www-form-urlencoded")

log = structlog.get_logger(__name__)


def build_problem_response(problem: Problem, request: Request) -> Response:
    """Return the problem as a response in the language of the request.

    Adds `Retry-After` and `WWW-Authenticate` if they apply.
    """
    headers = {"Cache-Control": "no-store"}
    if problem.retry_after_s is not None:
        headers["Retry-After"] = str(problem.retry_after_s)
    if problem.status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    language = choose_language(request.headers.get("accept-language"))
    headers["Content-Language"] = language
    return Response(problem.body(language, request.url.path), problem.status, headers, MEDIA_TYPE)


def install_handlers(app: FastAPI) -> None:
    """Register the handlers on `app`."""

    @app.exception_handler(ProblemError)
    async def answer_known_error(request: Request, error: ProblemError) -> Response:
        return build_problem_response(error.problem, request)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        # FastAPI parses a body as JSON only if its media type says so
        if isinstance(error.body, bytes):
            return build_problem_response(
                Problem("media_type", {"expected": "application/json"}), request
            )
        faults = tuple(convert_fault(e, skip="body") for e in error.errors()[:20])
        code = "not_json" if faults[0].code == "json_invalid" else "invalid"
        return build_problem_response(Problem(code, faults=faults), request)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        if error.status_code == 405:
            methods = (error.headers or {}).get("Allow", "")
            response = build_problem_response(
                Problem("method_not_allowed", {"allowed": methods}), request
            )
            response.headers["Allow"] = methods
            return response
        if error.status_code == 413:
            return build_problem_response(
                Problem("body_too_large", {"limit": describe_size(int(error.detail))}), request
            )
        if error.status_code == 400:
            return build_problem_response(_build_unreadable_problem(request), request)
        if code := _CODE_BY_STATUS.get(error.status_code):
            return build_problem_response(Problem(code), request)
        return (
            build_problem_response(Problem("conflict", {"what": str(error.detail)}), request)
            if error.status_code == 409
            else _build_plain_response(error)
        )

    @app.exception_handler(Exception)
    async def answer_unexpected_error(request: Request, error: Exception) -> Response:
        reference = uuid.uuid4().hex[:12]
        log.error(
            "request.failed",
            reference=reference,
            path=hide_token(request.url.path),
            method=request.method,
            exc_info=error,
        )
        response = build_problem_response(Problem("internal", {"reference": reference}), request)
        response.headers["Connection"] = (
            "close"  # uvicorn closes the connection: the client must not send another request on it
        )
        return response


def _build_unreadable_problem(request: Request) -> Problem:
    """Return the problem of a body that no parser accepts.

    Examples: a form without its boundary, JSON of a thousand levels, a number of thousands of
    digits.
    """
    if request.headers.get("content-type", "").lower().startswith(_FORM_TYPES):
        return Problem(
            "invalid",
            faults=(build_fault("body", "form", "formulaire illisible", "unreadable form"),),
        )
    return Problem(
        "not_json",
        faults=(build_fault("body", "json_invalid", "JSON illisible", "unreadable JSON"),),
    )


def _build_plain_response(error: HTTPException) -> Response:
    body = {"type": "about:blank", "title": str(error.detail), "status": error.status_code}
    return Response(orjson.dumps(body), error.status_code, error.headers, MEDIA_TYPE)
