"""Accept reports without a login from posters: `POST /webhooks/poster`.

The QR code of a poster leads to `/signaler?site=…&token=…`, and its form posts here. A poster is a
source of type `poster` for one site. Everybody can read its key, so the key permits nothing else,
and the reports are unconfirmed and limited per poster, sender and window
(`services.intake.field.rate_limits`).
"""

from codecs import BOM_UTF8
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from schemas.catalogue.event_types import endangers_people
from schemas.words import Certainty, EventType
from services.intake.field.rate_limits import AnonymousLimits, AnonymousReport, describe_others
from services.intake.integrations.dispatcher import Dispatcher
from services.intake.integrations.request import IntegrationRequest, Reply, parse_time
from services.intake.integrations.signals import choose_time
from services.intake.reports.acceptance import RawBody
from services.intake.reports.native import (
    CLOCK_TOLERANCE_MS,
    FORM_AGE_HEADER,
    add_remark,
    build_validation_problem,
    convert_to_milliseconds,
    parse_form_age,
    tell_device_time,
)
from services.runtime.http.problems import build_field_problem
from services.runtime.http.request_headers import find_network
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal, Source
from services.runtime.process import metrics

NAME: Final = "poster"
PATHS: Final = ("/webhooks/poster",)
JSON: Final = "application/json"
POSTER_PREFIX: Final = 24
"""IPv4 prefix that counts as one sender.

People on one mobile network share few addresses, and one person has several in turn.
"""


class PosterReport(BaseModel):
    """Fields of the form. Others are ignored: a passer-by sets neither site nor certainty."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    type: EventType
    severity: int = Field(ge=1, le=5)
    capacity_lost_pct: float | None = Field(default=None, ge=0, le=100)
    description: Annotated[str, Field(max_length=500)] | None = None
    occurred_at: str | None = Field(default=None, max_length=40)


class PosterIntegration:
    """Integration of posters, with their limits."""

    NAME: Final = NAME
    KEY_LOCATION: Final = "?token="
    PATHS: Final = PATHS
    PERMISSION: Final = Permission.REPORT_POSTER

    def __init__(self, limits: AnonymousLimits) -> None:
        self._limits = limits

    def get_storable_bytes(self, request: IntegrationRequest) -> bytes:
        return request.body

    async def accept_request(
        self,
        machines: Dispatcher,
        principal: Principal,
        source: Source,
        request: IntegrationRequest,
    ) -> str:
        """Accept the report and return its id.

        Another form under the same key is another report, and must not be answered as the first.
        Raises ProblemError `invalid`, `not_json`, `key_reused`, `too_many_attempts`.
        """
        try:
            report = PosterReport.model_validate_json(request.body.removeprefix(BOM_UTF8))
        except ValidationError as error:
            raise build_validation_problem(error) from None
        if source.site is None:
            raise build_field_problem(
                "site", "missing", "cette affiche n’a pas de site", "this poster has no site"
            )
        key = request.headers.get("idempotency-key", "")
        at, remark = _date_report(report, request, datetime.now(UTC))
        description = report.description
        if remark is not None:
            description = add_remark(description, remark)
        body: dict[str, Any] = report.model_dump(exclude_none=True) | {
            "site_id": source.site,
            "certainty": Certainty.UNCONFIRMED,
            "occurred_at": at.isoformat(),
        }
        if description is not None:
            body["description"] = description
        speaker = machines.transitions.speaker(principal, source, RawBody(request.body, JSON, NAME))
        content = key or orjson.dumps(body).decode()
        telling = f"poster\x1f{content}"
        is_danger = endangers_people(report.type, report.severity)
        sender = find_network(request.caller, POSTER_PREFIX)
        word = AnonymousReport(principal.id, sender, f"{source.site}\x1f{report.type}", is_danger)
        if not machines.transitions.has_taken(speaker, telling):
            entry = self._limits.admit(word)
            if entry.repeats is not None:
                metrics.count("vigie_reports_total", dialect=NAME, status="repeated")
                return entry.repeats
            body["description"] = describe_others(description, entry.others)
        receipt = await machines.transitions.accept(
            speaker,
            body | {"realm": speaker.realm},
            telling,
            words=orjson.dumps(report.model_dump(exclude={"occurred_at"})),
            first_stands=False,
        )
        self._limits.note(word, receipt.report_id)
        machines.book.count_accepted(principal.id)
        return receipt.report_id

    def build_reply(self, request: IntegrationRequest, outcome: str) -> Reply:  # noqa: ARG002  protocol of integrations
        """Return the id of the report for the form to show."""
        return Reply(202, {"report_id": outcome})


def _date_report(
    report: PosterReport, request: IntegrationRequest, now: datetime
) -> tuple[datetime, str | None]:
    """Return the time of a report, and a remark if the clock of its device was wrong.

    A report that waited on a device happened so long before its arrival. Rule D7, late reports.
    """
    stated = parse_time(report.occurred_at)
    age = parse_form_age(request.headers.get(FORM_AGE_HEADER))
    if age is None or stated is None:
        return choose_time(stated or request.came, now), None
    filled_at = now - timedelta(milliseconds=age)
    if abs(filled_at - stated) < timedelta(milliseconds=CLOCK_TOLERANCE_MS):
        return choose_time(stated, now), None
    return filled_at, tell_device_time(convert_to_milliseconds(stated))
