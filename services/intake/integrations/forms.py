"""Read the fields of JSON, form and multipart bodies, and of the query."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from services.intake.integrations.request import IntegrationRequest
from services.runtime.http.problems import build_field_problem

MAX_PARTS: Final = 100


def read_fields(request: IntegrationRequest) -> dict[str, Any]:
    """Return the fields of body and query. Raises ProblemError.

    The body has priority, and the first value of a name.
    """
    pairs: dict[str, Any] = dict(reversed(read_pairs(request)))
    return pairs | request.json_object() if _is_json(request) else pairs


def read_pairs(request: IntegrationRequest) -> list[tuple[str, str]]:
    """Return fields of a form or multipart body, then of the query. Raises ProblemError.

    Names may repeat.
    """
    query_pairs = [(name, value) for name, value in request.query_params if name != "token"]
    if _is_json(request):
        return query_pairs
    return (
        _read_multipart(request) if request.kind == "multipart/form-data" else request.form_pairs()
    ) + query_pairs


def _is_json(request: IntegrationRequest) -> bool:
    return request.kind == "application/json" or request.body.lstrip()[:1] == b"{"


def _read_multipart(request: IntegrationRequest) -> list[tuple[str, str]]:
    """Read fields of a multipart body, without files. Raises ProblemError `invalid`.

    Header lines and their number are limited.
    """
    boundary = parse_options_header(request.headers["content-type"])[1].get(b"boundary", b"")
    if not boundary:
        raise build_field_problem(
            "content-type",
            "boundary",
            "multipart sans « boundary »",
            "multipart without a boundary",
        )
    parts: list[_MultipartField] = []

    def begin() -> None:
        if len(parts) >= MAX_PARTS:
            raise MultipartParseError(f"more than {MAX_PARTS} parts")
        parts.append(_MultipartField())

    def end_header() -> None:
        parts[-1].close_header()

    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": begin,
                "on_header_field": lambda data, start, end: parts[-1].title.extend(data[start:end]),
                "on_header_value": lambda data, start, end: parts[-1].value.extend(data[start:end]),
                "on_header_end": end_header,
                "on_part_data": lambda data, start, end: parts[-1].content.extend(data[start:end]),
            },
        )
        parser.write(request.body)
        parser.finalize()
    except (FormParserError, ValueError):
        raise build_field_problem(
            "body", "multipart", "multipart illisible", "unreadable multipart body"
        ) from None
    return [
        (part.name, part.content.decode("utf-8", "replace"))
        for part in parts
        if part.name is not None
    ]


@dataclass(slots=True)
class _MultipartField:
    title: bytearray = field(default_factory=bytearray)
    value: bytearray = field(default_factory=bytearray)
    content: bytearray = field(default_factory=bytearray)
    name: str | None = None
    """Name of the field; None for a file or a part without a name."""

    def close_header(self) -> None:
        if self.title.lower() == b"content-disposition":
            options = parse_options_header(bytes(self.value))[1]
            name = None if b"filename" in options else options.get(b"name")
            self.name = None if name is None else name.decode("utf-8", "replace")
        self.title.clear()
        self.value.clear()
