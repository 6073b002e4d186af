"""Accept GoAlert's generic, Grafana and Alertmanager integrations, with the key as `?token=`."""

from __future__ import annotations

from typing import Any, Final

from services.intake.integrations import alertmanager
from services.intake.integrations.forms import read_fields, read_pairs
from services.intake.integrations.request import (
    IntegrationRequest,
    Reply,
    build_field_problem,
    get_first_text,
)
from services.intake.integrations.signals import (
    Transition,
    TransitionState,
    flatten_document,
    shorten_key,
)
from services.runtime.http.problems import Problem, ProblemError
from services.runtime.identity.principals import Source

NAME: Final = "goalert"
KEY_LOCATION: Final = "?token="
PATHS: Final = (
    "/api/v2/generic/incoming",
    "/api/v2/grafana/incoming",
    "/api/v2/prometheusalertmanager/incoming",
)
_UNDECIDED_STATES: Final = frozenset({"no_data", "pending", "paused"})
"""States of a legacy Grafana rule that mean neither trouble nor its end."""


def signals(asked: IntegrationRequest, source: Source) -> list[Transition | ProblemError]:
    """Read the transitions in a request. Raises ProblemError `invalid` without a summary."""
    if asked.path.startswith(PATHS[2]):
        return alertmanager.signals(asked, source)
    fields = read_fields(asked)
    if asked.path.startswith(PATHS[1]):
        return _read_grafana(asked, fields, source)
    summary, details = get_first_text(fields, "summary"), get_first_text(fields, "details")
    closes = get_first_text(fields, "action").lower() == "close"
    key = get_first_text(fields, "dedup") or shorten_key(f"{summary}\x1f{details}")
    if not summary and not (closes and get_first_text(fields, "dedup")):
        raise build_field_problem("summary", "missing", "obligatoire", "required")
    labels = flatten_document(_read_meta(asked, fields)) | flatten_document(
        {n: v for n, v in fields.items() if n not in ("summary", "details", "meta")}
    )
    return [
        Transition(
            key,
            TransitionState.CLOSED if closes else TransitionState.OPEN,
            summary,
            details,
            labels,
        )
    ]


def _read_meta(asked: IntegrationRequest, given: dict[str, Any]) -> Any:
    """Return `meta`: an object in JSON, elsewhere repeated `meta=name=value`."""
    if not isinstance(given.get("meta"), str):
        return given.get("meta")
    return dict(
        value.split("=", 1)
        for name, value in reversed(read_pairs(asked))
        if name == "meta" and "=" in value
    )


def _read_grafana(
    asked: IntegrationRequest, given: dict[str, Any], source: Source
) -> list[Transition | ProblemError]:
    """Read Grafana's unified alerting (as Alertmanager), or legacy `ruleName` and `state`."""
    if isinstance(given.get("alerts"), list):
        return alertmanager.signals(asked, source)
    name = get_first_text(given, "ruleName", "title")
    if not name:
        raise build_field_problem("ruleName", "missing", "obligatoire", "required")
    state = get_first_text(given, "state").lower()
    if state in _UNDECIDED_STATES:
        return []
    closes = state in ("ok", "normal", "resolved")
    return [
        Transition(
            shorten_key(f"{get_first_text(given, 'ruleId')}\x1f{name}"),
            TransitionState.CLOSED if closes else TransitionState.OPEN,
            name,
            get_first_text(given, "message"),
            flatten_document(given),
        )
    ]


def accepted(asked: IntegrationRequest, found: list[Transition | ProblemError]) -> Reply:  # noqa: ARG001
    """Answer 200. GoAlert sends a 204, but a document helps with reading logs."""
    return Reply(200, {"signals": sum(isinstance(f, Transition) for f in found)})


def refused(problem: Problem) -> Reply | None:  # noqa: ARG001
    """Use the standard problem document."""
    return None
