"""Read requests of other programs, their fields and times, and describe the responses.

Times are RFC 3339 with any number of digits, `+0000`, `+00:00Z`, and epoch seconds or milliseconds.
"""

import base64
import binascii
import re
import time
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson
from python_multipart.exceptions import FormParserError, MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from services.intake.dead_letters.dead_letter_api import FIRST_RECEIVED_AT, ORIGINAL_SENDER
from services.intake.http.exchange import Scope, get_client_address, redact_url
from services.runtime.http.problems import ProblemError, build_fault, build_field_problem
from services.runtime.identity.principals import Principal

MAX_FIELDS: Final = 200
_RFC3339: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)?\s*(?:(Z|z)|([+-])(\d\d):?(\d\d)(?:Z)?)?"
)
_EPOCH: Final = re.compile(r"[0-9]{10}(?:\.[0-9]{1,9})?|[0-9]{13}")
"""Seconds or milliseconds as written in form fields."""
_MIN_MILLISECONDS: Final = 100_000_000_000
"""Epoch numbers beyond this are milliseconds."""
MAX_PARTS: Final = 100


@dataclass(frozen=True)
class IntegrationRequest:
    method: str
    path: str
    query_params: Sequence[tuple[str, str]]
    """Query parameters in their order; names may repeat."""
    headers: Mapping[str, str]
    """Headers by lower-case name."""
    body: bytes
    sender: Principal | None = None
    """Sender of a refused message that the front replays; identified already."""
    came: datetime | None = None
    """Time of the first arrival of a replayed message. It dates content without a time."""
    address: str = ""
    """Path and query without secrets."""
    caller: str = ""
    """Network address of the sender."""
    at: float = field(default_factory=time.perf_counter)
    """`time.perf_counter()` when the request had been read."""

    @property
    def took_s(self) -> float:
        """Seconds since the request was read."""
        return round(time.perf_counter() - self.at, 4)

    @cached_property
    def query(self) -> Mapping[str, str]:
        """Query parameters by name; the first one wins."""
        return dict(reversed(self.query_params))

    @property
    def kind(self) -> str:
        """Media type in lower case, without parameters."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @cached_property
    def json(self) -> Any:
        """Parsed body. Raises ProblemError `not_json`."""
        try:
            return orjson.loads(self.body.removeprefix(BOM_UTF8))
        except orjson.JSONDecodeError as error:
            detail = (
                f"ligne {error.lineno}, colonne {error.colno}",
                f"line {error.lineno}, column {error.colno}",
            )
            raise ProblemError(
                "not_json", faults=(build_fault("body", "json_invalid", *detail),)
            ) from None

    def json_object(self) -> dict[str, Any]:
        """Parse the body as an object. Raises ProblemError `not_json`, `invalid`."""
        document = self.json
        if not isinstance(document, dict):
            raise build_field_problem(
                "body", "object", "un objet JSON est attendu", "a JSON object is expected"
            )
        return document

    def form(self) -> dict[str, str]:
        """Parse form fields by name; the first one wins. Raises ProblemError `invalid`."""
        return dict(reversed(self.form_pairs()))

    def form_pairs(self) -> list[tuple[str, str]]:
        """Parse the fields of a URL-encoded body in their order. Raises ProblemError `invalid`."""
        try:
            return parse_qsl(
                self.body.decode("utf-8", "replace"),
                keep_blank_values=True,
                max_num_fields=MAX_FIELDS,
            )
        except ValueError:
            raise build_field_problem(
                "body", "form", f"plus de {MAX_FIELDS} champs", f"more than {MAX_FIELDS} fields"
            ) from None

    def own_name(self, at: datetime | None = None) -> str:
        """Return a key for an alert without one.

        The same bytes within one minute, of their timestamp or else of their arrival, are the same
        alert. So a retry opens no second one.
        """
        minute = int((at or self.came or datetime.now(UTC)).timestamp()) // 60
        return blake2b(b"%d\x1f%b" % (minute, self.body), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    document: Any
    headers: tuple[tuple[bytes, bytes], ...] = field(default=())


def get_first_text(document: Mapping[str, Any], *names: str) -> str:
    """Return the first of these fields that is not empty, as text."""
    for name in names:
        value = document.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
        if isinstance(value, int | float) and not isinstance(value, bool):
            return str(value)
    return ""


def read_request(scope: Scope, body: bytes) -> IntegrationRequest:
    """Read the request of an ASGI scope."""
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in reversed(scope["headers"])
    }
    query_pairs = parse_qsl(
        scope.get("query_string", b"").decode("latin-1"),
        keep_blank_values=True,
        max_num_fields=None,
    )
    return IntegrationRequest(
        scope["method"],
        scope["path"],
        query_pairs,
        headers,
        body,
        scope.get(ORIGINAL_SENDER),
        scope.get(FIRST_RECEIVED_AT),
        redact_url(scope),
        get_client_address(scope),
    )


def list_keys(request: IntegrationRequest) -> list[str]:
    """Return keys given outside the body: bearer, GenieKey, basic password, X-Token, `?token=`."""
    keys = []
    scheme, _, credentials = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() in ("bearer", "geniekey") and credentials:
        keys.append(credentials.strip())
    elif scheme.lower() == "basic":
        try:
            keys.append(base64.b64decode(credentials, validate=True).decode().partition(":")[2])
        except (binascii.Error, UnicodeDecodeError):
            pass  # No key then. Without another one the sender is refused.
    keys += [
        value for value in (request.headers.get("x-token"), request.query.get("token")) if value
    ]
    return [key for key in keys if key]


def parse_time(value: Any) -> datetime | None:
    """Read an aware time, or return None if unreadable: a wrong clock must not lose the message.

    A time without an offset is UTC. The year 1 (Go's zero time) is no time.
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, str) and _EPOCH.fullmatch(value.strip()):
        value = float(value)
    if isinstance(value, int | float):
        try:
            return datetime.fromtimestamp(
                value / 1000 if abs(value) > _MIN_MILLISECONDS else value, UTC
            )
        except (ValueError, OverflowError, OSError):
            return None
    if not isinstance(value, str) or (time_match := _RFC3339.fullmatch(value.strip())) is None:
        return None
    year, month, day, hour, minute, second, fraction, _, sign, hours, minutes = time_match.groups()
    try:
        at = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            int((fraction or "0").ljust(6, "0")[:6]),
            tzinfo=UTC,
        )
        if sign:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            at = at - offset if sign == "+" else at + offset
    except (ValueError, OverflowError):
        return None
    return at if at.year > 1 else None


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
