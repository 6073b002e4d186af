"""Accept GoAlert's generic, Grafana and Alertmanager integrations, with the key as `?token=`."""

from __future__ import annotations

from typing import Any, Final

from services.intake.integrations import alertmanager
from services.intake.integrations.forms import fields_of, pairs_of
from services.intake.integrations.request import Asked, Reply, text, wrong
from services.intake.integrations.signals import Signal, State, flat, short
from services.runtime.http.problems import Problem, ProblemError
from services.runtime.identity.principals import Source

NAME: Final = "goalert"
PATHS: Final = (
    "/api/v2/generic/incoming",
    "/api/v2/grafana/incoming",
    "/api/v2/prometheusalertmanager/incoming",
)
_UNDECIDED: Final = frozenset({"no_data", "pending", "paused"})
"""States of a legacy Grafana rule that mean neither trouble nor its end."""


def signals(asked: Asked, source: Source) -> list[Signal | ProblemError]:
    """Read the transitions in a request. Raises ProblemError `invalid` without a summary."""
    if asked.path.startswith(PATHS[2]):
        return alertmanager.signals(asked, source)
    given = fields_of(asked)
    if asked.path.startswith(PATHS[1]):
        return _grafana(asked, given, source)
    summary, details = text(given, "summary"), text(given, "details")
    closes = text(given, "action").lower() == "close"
    key = text(given, "dedup") or short(f"{summary}\x1f{details}")
    if not summary and not (closes and text(given, "dedup")):
        raise wrong("summary", "missing", "obligatoire", "required")
    labels = flat(_meta(asked, given)) | flat(
        {n: v for n, v in given.items() if n not in ("summary", "details", "meta")}
    )
    return [Signal(key, State.CLOSED if closes else State.OPEN, summary, details, labels)]


def _meta(asked: Asked, given: dict[str, Any]) -> Any:
    """Return `meta`: an object in JSON, elsewhere repeated `meta=name=value`."""
    if not isinstance(given.get("meta"), str):
        return given.get("meta")
    return dict(
        value.split("=", 1)
        for name, value in reversed(pairs_of(asked))
        if name == "meta" and "=" in value
    )


def _grafana(asked: Asked, given: dict[str, Any], source: Source) -> list[Signal | ProblemError]:
    """Read Grafana's unified alerting (as Alertmanager), or legacy `ruleName` and `state`."""
    if isinstance(given.get("alerts"), list):
        return alertmanager.signals(asked, source)
    name = text(given, "ruleName", "title")
    if not name:
        raise wrong("ruleName", "missing", "obligatoire", "required")
    state = text(given, "state").lower()
    if state in _UNDECIDED:
        return []
    closes = state in ("ok", "normal", "resolved")
    return [
        Signal(
            short(f"{text(given, 'ruleId')}\x1f{name}"),
            State.CLOSED if closes else State.OPEN,
            name,
            text(given, "message"),
            flat(given),
        )
    ]


def accepted(asked: Asked, found: list[Signal | ProblemError]) -> Reply:  # noqa: ARG001
    """Answer 200. GoAlert sends a 204, but a document helps with reading logs."""
    return Reply(200, {"signals": sum(isinstance(f, Signal) for f in found)})


def refused(problem: Problem) -> Reply | None:  # noqa: ARG001
    """Use the standard problem document."""
    return None
