"""Serve `POST /api/v1/reports`, `…/reports:batch`, `…/reports:line`, `GET …/reports/{id}/raw`."""

import asyncio
import time
from codecs import BOM_UTF8
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, unquote, urlencode

import orjson
import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from schemas.catalogue.sources import STAFF
from services.intake.dead_letters.dead_letter_api import FIRST_RECEIVED_AT, ORIGINAL_SENDER
from services.intake.dead_letters.dead_letter_store import DeadLetterStore, RefusedMessage
from services.intake.field.short_line import MAX_LINE, ShortLineKind, build_report, read_line
from services.intake.field.site_codes import SiteCodes
from services.intake.http.exchange import (
    BINARY_TYPE,
    DATA_CONTENT_POLICY,
    BodyReader,
    Headers,
    Receive,
    Scope,
    Send,
    get_header,
    get_response_language,
    send_json,
    send_response,
)
from services.intake.reports.acceptance import (
    AcceptanceReceipt,
    RawBody,
    ReportReceiver,
    build_text_id,
)
from services.intake.reports.deduplication import AnswerIndex
from services.intake.reports.geography import TerritoryMap
from services.intake.reports.native import (
    FORM_AGE_HEADER,
    NativeReport,
    add_author,
    build_arrival_fields,
    build_validation_problem,
    date_form,
    dump_json,
    parse_batch_item,
    parse_form_age,
    parse_report,
    prepare_report,
)
from services.runtime.http.problems import (
    FieldFault,
    Language,
    Problem,
    ProblemError,
    build_fault,
    build_field_problem,
)
from services.runtime.http.request_headers import check_key, read_key
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.kafka.clients import format_time
from services.runtime.process import metrics
from services.runtime.process.machine import now_ms
from services.runtime.secrets.erasure import read_erasure
from services.runtime.secrets.vault import VaultTexts

JSON: Final = "application/json"
_UTF_8_NAMES: Final = frozenset({"utf-8", "utf8", "us-ascii"})
"""Names of charsets that can be read as UTF-8."""
POST_ONE: Final = "/api/v1/reports"
DEFAULT_CALLER: Final = STAFF
"""Kind of source of a caller, by default: the manager of the site hears of it (D2)."""
RAW_WAIT_S: Final = 1.0
BATCH_AT_ONCE: Final = 64
"""Members of one batch that wait for Kafka at once, so that other requests find room."""
_Report = TypeVar("_Report", bound=NativeReport)
_REPLAYED: Final[Headers] = [(b"idempotency-replayed", b"true")]
_UNKEPT_STATUSES: Final = frozenset({401, 503})
"""Statuses that say nothing about the message, so it is not kept."""
_UNKEPT_CODE: Final = "other_author"
"""Code of a refusal after which the device keeps the message for its author."""
log = structlog.get_logger(__name__)


def check_content_type(scope: Scope) -> str:
    """Return the content type, JSON by default. Raises ProblemError `media_type`."""
    header = get_header(scope, b"content-type")
    if not header:
        return JSON
    kind, *params = (part.strip().lower() for part in header.split(";"))
    charsets = {
        value.strip(' "')
        for name, _, value in (p.partition("=") for p in params)
        if name.strip() == "charset"
    }
    if kind != JSON or not charsets <= _UTF_8_NAMES:
        raise ProblemError("media_type", expected=f"{JSON} (UTF-8)")
    return JSON


def list_warnings(warnings: Iterable[FieldFault], language: Language) -> dict[str, Any]:
    """Return the `warnings` of a 202, or nothing without any."""
    documents = [
        {"field": w.field, "code": w.code, "detail": w.message[language]} for w in warnings
    ]
    return {"warnings": documents} if documents else {}


def describe_receipt(receipt: AcceptanceReceipt, language: Language = "fr") -> dict[str, Any]:
    """Return the body of a 202."""
    return list_warnings(receipt.warnings, language) | {
        "report_id": receipt.report_id,
        "realm": receipt.realm,
        "recorded_at": format_time(receipt.recorded_at),
        "status_url": f"/api/v1/reports/{receipt.report_id}?realm={receipt.realm}",
    }


class TypedLine(BaseModel):
    """One line typed for a caller, the body of `POST /api/v1/reports:line`."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    text: str = Field(
        min_length=1,
        max_length=MAX_LINE,
        description="`117 ELEC`, `RAS 117`, `STOP 117` (docs/how-to/post-reports.md)",
    )
    caller: str = Field(default=DEFAULT_CALLER, max_length=64, description="kind of source")
    occurred_at: AwareDatetime | None = Field(
        default=None, description="default: time of arrival, by the clock of the realm"
    )
    realm: str | None = Field(default=None, max_length=64)
    known_site: bool = Field(
        default=False, description="refuse a site that the territory does not know"
    )


def parse_line(body: bytes) -> TypedLine:
    """Parse the body. Raises ProblemError `invalid` or `not_json`."""
    try:
        return TypedLine.model_validate_json(body.removeprefix(BOM_UTF8))
    except ValidationError as error:
        raise build_validation_problem(error) from None


AUTHOR_HEADER: Final = b"vigie-written-by"
"""Header of the report form: id of the account that wrote the report, percent-encoded."""


def get_other_author(scope: Scope, principal: Principal) -> str | None:
    """Return the id of the account that wrote the report, if it is not the sender's."""
    header = get_header(scope, AUTHOR_HEADER)
    author = unquote(header) if header else None
    return None if author == principal.id else author


def get_form_age(scope: Scope) -> int | None:
    """Return the milliseconds since the report form was filled in, if its page tells them."""
    return parse_form_age(get_header(scope, FORM_AGE_HEADER.encode()))


def get_realm_of_address(scope: Scope) -> str | None:
    """Return the realm that the address of a request names (`?realm=`)."""
    query_params = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1")))
    return query_params.get("realm")


def put_into_realm(report: _Report, realm: str | None) -> _Report:
    """Return the report in the realm that its address names, as all other routes take it.

    Raises ProblemError if the body names another one.
    """
    if realm is None or realm == report.realm:
        return report
    if report.realm is not None:
        raise build_field_problem(
            "realm",
            "conflict",
            "l’adresse et le signalement nomment deux territoires ou exercices différents",
            "the address and the report name two different realms",
        )
    return report.model_copy(update={"realm": realm})


class ReportApi:
    """Handlers of report routes. Each gets the principal that the front identified."""

    def __init__(
        self,
        receiver: ReportReceiver,
        reader: BodyReader,
        texts: VaultTexts,
        ledger: AnswerIndex,
        dead_letters: DeadLetterStore,
        live_realm: str,
        batch_items: int,
        places: SiteCodes,
        geography: TerritoryMap,
    ) -> None:
        self._receiver = receiver
        self._reader = reader
        self._texts = texts
        self._ledger = ledger
        self._refused = dead_letters
        self._live_realm = live_realm
        self._batch_items = batch_items
        self._places = places
        self._geography = geography

    async def read(self, scope: Scope, receive: Receive) -> bytes:
        """Read a body that is processed at once. Raises ProblemError, ClientGone."""
        body = await self._reader.read(scope, receive)
        self._reader.room.give_back(len(body))
        return body

    async def post_one(
        self, principal: Principal, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer 202 with the receipt once the report is on the log.

        Raises ProblemError, ClientGone.
        """
        body = b""
        began = time.perf_counter()
        try:
            key, content_type = (
                read_key(get_header(scope, b"idempotency-key")),
                check_content_type(scope),
            )
            body = await self._reader.read(scope, receive)
            try:
                age = None if key is None else get_form_age(scope)
                receipt = await self._accept(
                    principal,
                    put_into_realm(parse_report(body), get_realm_of_address(scope)),
                    key,
                    RawBody(body, content_type),
                    age=age,
                    other_author=get_other_author(scope, principal),
                )
            finally:
                self._reader.room.give_back(len(body))
        except ProblemError as error:
            self._keep(principal, error.problem, body, scope)
            raise
        metrics.observe("vigie_report_seconds", time.perf_counter() - began, dialect="native")
        await send_json(
            send,
            202,
            describe_receipt(receipt, get_response_language(scope)),
            _REPLAYED if receipt.is_replay else None,
        )

    async def _accept(
        self,
        principal: Principal,
        report: NativeReport,
        key: str | None,
        raw: RawBody,
        *,
        age: int | None = None,
        other_author: str | None = None,
    ) -> AcceptanceReceipt:
        claim = prepare_report(
            report,
            principal,
            self._live_realm,
            partial(self._receiver.resolve, principal.id),
            self._geography,
        )
        if other_author is not None:
            claim = add_author(claim, other_author)
        if age is not None:
            claim = date_form(claim, now_ms(), age)
        receipt = await self._receiver.accept(claim, principal, key, raw)
        return replace(receipt, warnings=claim.warnings)

    async def post_line(
        self, principal: Principal, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Accept a line typed for a caller. Answers 202 as for a report.

        Raises ProblemError, ClientGone.
        """
        body = b""
        try:
            key, content_type = (
                read_key(get_header(scope, b"idempotency-key")),
                check_content_type(scope),
            )
            body = await self._reader.read(scope, receive)
            try:
                typed_line = parse_line(body)
                report = put_into_realm(
                    self._report_of(typed_line, scope.get(FIRST_RECEIVED_AT)),
                    get_realm_of_address(scope),
                )
                claim = prepare_report(
                    report,
                    principal,
                    self._live_realm,
                    partial(self._receiver.resolve, principal.id),
                    self._geography,
                )
                if typed_line.occurred_at is None:
                    # A repetition has another "now", so its text identifies it.
                    claim = replace(
                        claim,
                        message=claim.message | build_arrival_fields(claim.realm),
                        words=claim.content,
                    )
                receipt = await self._receiver.accept(
                    claim, principal, key, RawBody(body, content_type, "line")
                )
            finally:
                self._reader.room.give_back(len(body))
        except ProblemError as error:
            self._keep(principal, error.problem, body, scope)
            raise
        await send_json(
            send,
            202,
            describe_receipt(
                replace(receipt, warnings=claim.warnings), get_response_language(scope)
            ),
            _REPLAYED if receipt.is_replay else None,
        )

    def _report_of(self, typed_line: TypedLine, came: datetime | None) -> NativeReport:
        line = read_line(typed_line.text)
        if line.kind is ShortLineKind.ANSWER:
            raise build_field_problem(
                "text", "answer", "une réponse n’est pas un signalement", "an answer is no report"
            )
        at = typed_line.occurred_at or came or datetime.now(UTC)
        site = self._places.site_of_line(line, typed_line.text, ())
        if typed_line.known_site and site is not None and not self._places.knows(site):
            raise build_field_problem(
                "text",
                "unknown_site",
                f"aucun site {line.site} dans le territoire",
                f"no site {line.site} in the territory",
            )
        body = build_report(line, site, typed_line.text, at.isoformat())
        return parse_report(
            orjson.dumps(
                body
                | {"source": {"name": typed_line.caller}}
                | ({"realm": typed_line.realm} if typed_line.realm else {})
            )
        )

    async def post_batch(
        self, principal: Principal, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Accept or refuse each member of a batch by itself; answer with one item per member.

        The status is 202 if all are accepted, 207 if some are, 422 if none is, 503 if one may be
        sent again. The whole batch may be repeated without a second effect. The key is the member's
        `idempotency_key`, else the header's with the member's number, else the content.
        """
        body = b""
        try:
            key = read_key(get_header(scope, b"idempotency-key"))
            check_content_type(scope)
            body = await self._reader.read(scope, receive)
            members = self._members(body)
        except ProblemError as error:
            self._reader.room.give_back(len(body))
            self._keep(principal, error.problem, body, scope)
            raise
        try:
            turns = asyncio.Semaphore(BATCH_AT_ONCE)
            results = await asyncio.gather(
                *(self._member(principal, m, key, n, scope, turns) for n, m in enumerate(members))
            )
        finally:
            self._reader.room.give_back(len(body))
        statuses, waits = {r["status"] for r in results}, [r.pop("wait_s", 0) for r in results]
        status = (
            202
            if statuses == {202}
            else 503
            if 503 in statuses
            else 207
            if 202 in statuses
            else 422
        )
        extra: Headers = [(b"retry-after", b"%d" % max(2, *waits))] if status == 503 else []
        await send_json(send, status, {"items": results}, extra)

    def _members(self, body: bytes) -> list[Any]:
        try:
            document = orjson.loads(body.removeprefix(BOM_UTF8))
        except orjson.JSONDecodeError:
            raise ProblemError(
                "not_json",
                faults=(build_fault("body", "json_invalid", "JSON illisible", "unreadable JSON"),),
            ) from None
        members = document.get("reports") if isinstance(document, dict) else document
        if not isinstance(members, list) or not 1 <= len(members) <= self._batch_items:
            limit = self._batch_items
            raise build_field_problem(
                "reports",
                "list",
                f"une liste de 1 à {limit} signalements",
                f"a list of 1 to {limit} reports",
            )
        return members

    async def _member(
        self,
        principal: Principal,
        member: Any,
        batch_key: str | None,
        n: int,
        scope: Scope,
        turns: asyncio.Semaphore,
    ) -> dict[str, Any]:
        raw = b""
        try:
            raw = dump_json(member)
            item = put_into_realm(parse_batch_item(raw), get_realm_of_address(scope))
            own = item.idempotency_key
            key = (
                check_key(own)
                if own is not None
                else f"{batch_key}/{n}"
                if batch_key is not None
                else None
            )
            async with turns:
                receipt = await self._accept(principal, item, key, RawBody(raw, JSON))
        except ProblemError as error:
            self._keep(principal, error.problem, raw, scope, POST_ONE)
            refusal = {
                "status": error.problem.status,
                "problem": error.problem.document(get_response_language(scope)),
            }
            return refusal | {"wait_s": error.problem.retry_after_s or 0}
        metrics.count("vigie_reports_total", dialect="native", status="202")
        language = get_response_language(scope)
        return {"status": 202, **describe_receipt(receipt, language), "replayed": receipt.is_replay}

    def _keep(
        self,
        principal: Principal,
        problem: Problem,
        body: bytes,
        scope: Scope,
        path: str | None = None,
    ) -> None:
        """Keep a refused message, to be sent again to the realm of its address.

        `path` is the path for a replay, if not the request's own.
        """
        realm = get_realm_of_address(scope)
        query = f"?{urlencode({'realm': realm})}" if realm is not None else ""
        is_unkept = problem.status in _UNKEPT_STATUSES or problem.code == _UNKEPT_CODE
        if not is_unkept and ORIGINAL_SENDER not in scope:
            content_type = get_header(scope, b"content-type") or JSON
            self._refused.keep(
                RefusedMessage(
                    principal,
                    problem,
                    body,
                    content_type[:200],
                    "native",
                    (path or str(scope["path"])) + query,
                )
            )

    async def get_raw(self, principal: Principal, report_id: str, send: Send) -> None:
        """Answer with the raw bytes of a report and log the access (rule D59).

        A reader limited to some realms can read only reports of these. The realm of a forgotten
        report is unknown, so such a reader cannot read it. Raises ProblemError `not_found`,
        `erased`, `out_of_scope`.
        """
        recorded_report = self._ledger.get(report_id)
        if not principal.sees(recorded_report.realm if recorded_report is not None else None):
            raise ProblemError("out_of_scope", field="realm")
        item = await self._texts.get(
            build_text_id(report_id), wait_s=RAW_WAIT_S if recorded_report is not None else 0.0
        )
        if item is None or item.raw is None:
            raise ProblemError(
                "not_found" if recorded_report is None and read_erasure(item) is None else "erased"
            )
        log.info(
            "report.raw_read",
            report=report_id,
            reader=principal.id,
            permission=Permission.REPORT_RAW.value,
        )
        name = f'attachment; filename="{report_id}"'.encode()
        kind = item.content_type or BINARY_TYPE
        # The content type of a Kafka record may hold anything.
        safe = kind if kind.isprintable() else BINARY_TYPE
        headers: Headers = [
            (b"content-type", safe.encode("latin-1", "replace")),
            (b"content-disposition", name),
            (b"cache-control", b"no-store"),
            DATA_CONTENT_POLICY,
        ]
        await send_response(send, 200, item.raw, headers)
