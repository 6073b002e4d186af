"""Accept alerts of the Alertmanager API v2: `POST /api/v2/alerts`, from Prometheus and amtool.

An end in the future is a lease: the alert holds until then, and each repetition extends it. Without
an end, it holds for `RESOLVE_TIMEOUT_S`. An invalid alert does not affect the others: they are
accepted although the answer is 400. Rule D66, leases.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from schemas.reports import Lease
from services.intake.integrations.alertmanager import NAME, SEVERITY, strings
from services.intake.integrations.dispatcher import Machines
from services.intake.integrations.request import Asked, Reply, text, wrong
from services.intake.integrations.signals import Part, Signal, State
from services.intake.integrations.times import read_time
from services.intake.reports.native import ms
from services.runtime.http.problems import Problem, ProblemError
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal, Source

RESOLVE_TIMEOUT_S: Final = 300
"""Alertmanager's default of `resolve_timeout`, in seconds."""
_OFFSET, _PRIME, _SEPARATOR = 14695981039346656037, 1099511628211, 0xFF


class AlertsDoor:
    """Integration that answers 400 for a batch even if it accepted the valid alerts."""

    NAME = NAME
    PATHS = ("/api/v2/alerts",)
    PERMISSION = Permission.REPORT_POST

    def kept(self, asked: Asked) -> bytes:
        return asked.body

    async def take(
        self, machines: Machines, principal: Principal, source: Source, asked: Asked
    ) -> Problem | None:
        """Accept the valid alerts and return the first problem of the others.

        Raises ProblemError if all are refused.
        """
        good, wrong_ones = read(asked)
        refused = [
            r
            for r in await machines.take_all(principal, source, NAME, asked, good)
            if isinstance(r, ProblemError)
        ]
        machines.keep_all(principal, wrong_ones, asked, NAME)
        return next((error.problem for error in (*wrong_ones, *refused)), None)

    def accepted(self, asked: Asked, found: Problem | None) -> Reply:  # noqa: ARG002
        """Answer 200, or 400 although valid alerts were accepted."""
        return Reply(200, {}) if found is None else self.refused(found)

    def refused(self, problem: Problem) -> Reply:
        """Answer 400 with a text that clients print; 403 for a missing permission."""
        return Reply(403 if problem.status == 403 else 400, problem.sentence("en"))


def read(asked: Asked) -> tuple[list[Signal], list[ProblemError]]:
    """Read the valid alerts of a body, and the problems of the others.

    Raises ProblemError `invalid`, `not_json` if the body is no list.
    """
    if not isinstance(asked.json, list):
        raise wrong(
            "body", "list", "une liste d’alertes est attendue", "a list of alerts is expected"
        )
    now = datetime.now(UTC)
    signals, errors = list[Signal](), list[ProblemError]()
    for number, alert in enumerate(asked.json, start=1):
        try:
            signals.append(_signal(alert, str(number), now))
        except ProblemError as error:
            errors.append(error)
    return signals, errors


def _signal(alert: Any, number: str, now: datetime) -> Signal:
    """Read an alert. Raises ProblemError `invalid`."""
    labels = labels_of(alert)
    if not labels:
        raise wrong(
            f"{number}.labels",
            "missing",
            "au moins une étiquette non vide est obligatoire",
            "at least one label that is not empty is required",
        )
    began, ends = _time(alert, "startsAt", number), _time(alert, "endsAt", number)
    if began is not None and ends is not None and ends < began:
        raise wrong(
            f"{number}.endsAt",
            "order",
            "la fin doit suivre le début",
            "start time must be before end time",
        )
    notes = strings(alert.get("annotations"))
    over = ends is not None and ends <= now
    lease = (
        None
        if over
        else Lease(
            until=ms(ends or now + timedelta(seconds=RESOLVE_TIMEOUT_S)), explicit=ends is not None
        )
    )
    return Signal(
        fingerprint(labels),
        State.CLOSED if over else State.OPEN,
        text(notes, "summary", "title") or labels.get("alertname", ""),
        "\n".join(
            t for t in (text(notes, "description", "message"), text(alert, "generatorURL")) if t
        ),
        labels,
        SEVERITY.get(labels.get("severity", "").lower()),
        at=ends if over else began,
        began=began,
        matchable=True,
        lease=lease,
        part=Part([alert]),
    )


def labels_of(alert: Any) -> dict[str, str]:
    """Return the labels of an alert. An empty label counts as missing."""
    return {
        n: v
        for n, v in strings(alert.get("labels") if isinstance(alert, dict) else None).items()
        if v
    }


def _time(alert: dict[str, Any], name: str, number: str) -> datetime | None:
    """Read a time. Raises ProblemError `invalid`.

    Returns None for a missing or zero time (`0001-01-01T00:00:00Z`).
    """
    given = alert.get(name)
    if given in (None, ""):
        return None
    found = read_time(given)
    if found is None and not str(given).startswith("0001-01-01T00:00:00"):
        raise wrong(
            f"{number}.{name}",
            "datetime",
            "doit être une date ISO 8601 avec son décalage",
            "must be an ISO 8601 time with its offset",
        )
    return found


def fingerprint(labels: dict[str, str]) -> str:
    """Compute Prometheus's fingerprint (FNV-1a over sorted labels): all paths use one key."""
    value = _OFFSET
    for name in sorted(labels):
        for part in (name, labels[name]):
            for byte in (*part.encode("utf-8", "surrogatepass"), _SEPARATOR):
                value = ((value ^ byte) * _PRIME) & 0xFFFF_FFFF_FFFF_FFFF
    return f"{value:016x}"
