"""Alertmanager API v2, the alerts: `POST /api/v2/alerts`, as Prometheus and amtool send them to what they take for an Alertmanager.

An end in the future is a lease (D66): the alert holds until then, and each repetition moves it. No end is a patience of `RESOLVE_TIMEOUT_S`. What is wrong in
one alert costs the others nothing: they are taken even though the answer is 400.
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
"""Alertmanager's own default of `resolve_timeout`."""
_OFFSET, _PRIME, _SEPARATOR = 14695981039346656037, 1099511628211, 0xFF


class AlertsDoor:
    """The dialect's own door: it answers 400 for a batch of which it took what was well formed."""

    NAME = NAME
    PATHS = ("/api/v2/alerts",)
    PERMISSION = Permission.REPORT_POST

    def kept(self, asked: Asked) -> bytes:
        """The bytes as they came."""
        return asked.body

    async def take(
        self, machines: Machines, principal: Principal, source: Source, asked: Asked
    ) -> Problem | None:
        """Open, renew and end what is well formed; the first thing that was not, or was refused. Raises ProblemError when all was."""
        good, wrong_ones = read(asked)
        refused = [
            r
            for r in await machines.take_all(principal, source, NAME, asked, good)
            if isinstance(r, ProblemError)
        ]
        machines.keep_all(principal, wrong_ones, asked, NAME)
        return next((error.problem for error in (*wrong_ones, *refused)), None)

    def accepted(self, asked: Asked, found: Problem | None) -> Reply:  # noqa: ARG002  the protocol of dialects
        """200, as an Alertmanager; 400 although the others were taken."""
        return Reply(200, {}) if found is None else self.refused(found)

    def refused(self, problem: Problem) -> Reply:
        """400 with its reason as a text, which clients print; 403 for a right that is missing."""
        return Reply(403 if problem.status == 403 else 400, problem.sentence("en"))


def read(asked: Asked) -> tuple[list[Signal], list[ProblemError]]:
    """The alerts of a body, and what is wrong with the others. Raises ProblemError `invalid`, `not_json` when it is no list."""
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
    """Raises ProblemError `invalid`."""
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
    """Labels that are not empty: one that is counts as not there."""
    return {
        n: v
        for n, v in strings(alert.get("labels") if isinstance(alert, dict) else None).items()
        if v
    }


def _time(alert: dict[str, Any], name: str, number: str) -> datetime | None:
    """None for one that is not there or zero (`0001-01-01T00:00:00Z`). Raises ProblemError `invalid`."""
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
    """As Prometheus makes it (FNV-1a over the sorted labels), so that an alert has one name on every way here."""
    value = _OFFSET
    for name in sorted(labels):
        for part in (name, labels[name]):
            for byte in (*part.encode("utf-8", "surrogatepass"), _SEPARATOR):
                value = ((value ^ byte) * _PRIME) & 0xFFFF_FFFF_FFFF_FFFF
    return f"{value:016x}"
