"""Accept alerts of the Alertmanager API v2: `POST /api/v2/alerts`, from Prometheus and amtool.

An end in the future is a lease: the alert holds until then, and each repetition extends it. Without
an end, it holds for `RESOLVE_TIMEOUT_S`. An invalid alert does not affect the others: they are
accepted although the answer is 400. Rule D66, leases.
"""

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from schemas.reports import Lease
from services.intake.integrations.alertmanager import NAME, SEVERITY_BY_LABEL, stringify_values
from services.intake.integrations.dispatcher import Dispatcher
from services.intake.integrations.request import (
    IntegrationRequest,
    Reply,
    get_first_text,
    parse_time,
)
from services.intake.integrations.signals import RequestPart, Transition, TransitionState
from services.intake.reports.native import convert_to_milliseconds
from services.runtime.http.problems import Problem, ProblemError, build_field_problem
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal, Source

RESOLVE_TIMEOUT_S: Final = 300
"""Alertmanager's default of `resolve_timeout`, in seconds."""
_OFFSET, _PRIME, _SEPARATOR = 14695981039346656037, 1099511628211, 0xFF


class AlertmanagerAlerts:
    """Integration that answers 400 for a batch even if it accepted the valid alerts."""

    NAME = NAME
    PATHS = ("/api/v2/alerts",)
    PERMISSION = Permission.REPORT_POST

    def get_storable_bytes(self, request: IntegrationRequest) -> bytes:
        return request.body

    async def accept_request(
        self,
        machines: Dispatcher,
        principal: Principal,
        source: Source,
        request: IntegrationRequest,
    ) -> Problem | None:
        """Accept the valid alerts and return the first problem of the others.

        Raises ProblemError if all are refused.
        """
        good, wrong_ones = read_alerts(request)
        errors = [
            r
            for r in await machines.take_all(principal, source, NAME, request, good)
            if isinstance(r, ProblemError)
        ]
        machines.keep_all(principal, wrong_ones, request, NAME)
        return next((error.problem for error in (*wrong_ones, *errors)), None)

    def build_reply(self, request: IntegrationRequest, outcome: Problem | None) -> Reply:  # noqa: ARG002
        """Answer 200, or 400 although valid alerts were accepted."""
        return Reply(200, {}) if outcome is None else self.build_refusal(outcome)

    def build_refusal(self, problem: Problem) -> Reply:
        """Answer 400 with a text that clients print; 403 for a missing permission."""
        return Reply(403 if problem.status == 403 else 400, problem.sentence("en"))


def read_alerts(request: IntegrationRequest) -> tuple[list[Transition], list[ProblemError]]:
    """Read the valid alerts of a body, and the problems of the others.

    Raises ProblemError `invalid`, `not_json` if the body is no list.
    """
    if not isinstance(request.json, list):
        raise build_field_problem(
            "body", "list", "une liste d’alertes est attendue", "a list of alerts is expected"
        )
    now = datetime.now(UTC)
    signals, errors = list[Transition](), list[ProblemError]()
    for number, alert in enumerate(request.json, start=1):
        try:
            signals.append(_read_alert(alert, str(number), now))
        except ProblemError as error:
            errors.append(error)
    return signals, errors


def _read_alert(alert: Any, number: str, now: datetime) -> Transition:
    """Read an alert. Raises ProblemError `invalid`."""
    labels = read_labels(alert)
    if not labels:
        raise build_field_problem(
            f"{number}.labels",
            "missing",
            "au moins une étiquette non vide est obligatoire",
            "at least one label that is not empty is required",
        )
    began, ends = (
        _read_alert_time(alert, "startsAt", number),
        _read_alert_time(alert, "endsAt", number),
    )
    if began is not None and ends is not None and ends < began:
        raise build_field_problem(
            f"{number}.endsAt",
            "order",
            "la fin doit suivre le début",
            "start time must be before end time",
        )
    notes = stringify_values(alert.get("annotations"))
    over = ends is not None and ends <= now
    lease = (
        None
        if over
        else Lease(
            until=convert_to_milliseconds(ends or now + timedelta(seconds=RESOLVE_TIMEOUT_S)),
            explicit=ends is not None,
        )
    )
    return Transition(
        compute_fingerprint(labels),
        TransitionState.CLOSED if over else TransitionState.OPEN,
        get_first_text(notes, "summary", "title") or labels.get("alertname", ""),
        "\n".join(
            t
            for t in (
                get_first_text(notes, "description", "message"),
                get_first_text(alert, "generatorURL"),
            )
            if t
        ),
        labels,
        SEVERITY_BY_LABEL.get(labels.get("severity", "").lower()),
        at=ends if over else began,
        began=began,
        matchable=True,
        lease=lease,
        part=RequestPart([alert]),
    )


def read_labels(alert: Any) -> dict[str, str]:
    """Return the labels of an alert. An empty label counts as missing."""
    return {
        n: v
        for n, v in stringify_values(
            alert.get("labels") if isinstance(alert, dict) else None
        ).items()
        if v
    }


def _read_alert_time(alert: dict[str, Any], name: str, number: str) -> datetime | None:
    """Read a time. Raises ProblemError `invalid`.

    Returns None for a missing or zero time (`0001-01-01T00:00:00Z`).
    """
    raw_time = alert.get(name)
    if raw_time in (None, ""):
        return None
    parsed_time = parse_time(raw_time)
    if parsed_time is None and not str(raw_time).startswith("0001-01-01T00:00:00"):
        raise build_field_problem(
            f"{number}.{name}",
            "datetime",
            "doit être une date ISO 8601 avec son décalage",
            "must be an ISO 8601 time with its offset",
        )
    return parsed_time


def compute_fingerprint(labels: dict[str, str]) -> str:
    """Compute Prometheus's fingerprint (FNV-1a over sorted labels): all paths use one key."""
    value = _OFFSET
    for name in sorted(labels):
        for part in (name, labels[name]):
            for byte in (*part.encode("utf-8", "surrogatepass"), _SEPARATOR):
                value = ((value ^ byte) * _PRIME) & 0xFFFF_FFFF_FFFF_FFFF
    return f"{value:016x}"
