"""Read requests of other programs, and describe the responses."""

from __future__ import annotations

import base64
import binascii
import time
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from hashlib import blake2b
from typing import Any, Final
from urllib.parse import parse_qsl

import orjson

from services.intake.dead_letters.dead_letter_api import FIRST_RECEIVED_AT, ORIGINAL_SENDER
from services.intake.http.exchange import Scope, get_client_address, redact_url
from services.runtime.http.problems import ProblemError, build_fault, build_field_problem
from services.runtime.identity.principals import Principal

MAX_FIELDS: Final = 200


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
