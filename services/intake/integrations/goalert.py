"""Accept GoAlert's generic, Grafana and Alertmanager integrations, with the key as `?token=`."""

from typing import Any, Final

from services.intake.integrations import alertmanager
from services.intake.integrations.request import (
    IntegrationRequest,
    Reply,
    get_first_text,
    read_fields,
    read_pairs,
)
from services.intake.integrations.signals import (
    Transition,
    TransitionState,
    flatten_document,
    shorten_key,
)
from services.runtime.http.problems import ProblemError, build_field_problem
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


def signals(request: IntegrationRequest, source: Source) -> list[Transition | ProblemError]:
    """Read the transitions in a request. Raises ProblemError `invalid` without a summary."""
    if request.path.startswith(PATHS[2]):
        return alertmanager.signals(request, source)
    fields = read_fields(request)
    if request.path.startswith(PATHS[1]):
        return _read_grafana(request, fields, source)
    summary, details = get_first_text(fields, "summary"), get_first_text(fields, "details")
    closes = get_first_text(fields, "action").lower() == "close"
    key = get_first_text(fields, "dedup") or shorten_key(f"{summary}\x1f{details}")
    if not summary and not (closes and get_first_text(fields, "dedup")):
        raise build_field_problem("summary", "missing", "obligatoire", "required")
    labels = flatten_document(_read_meta(request, fields)) | flatten_document(
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


def _read_meta(request: IntegrationRequest, fields: dict[str, Any]) -> Any:
    """Return `meta`: an object in JSON, elsewhere repeated `meta=name=value`."""
    if not isinstance(fields.get("meta"), str):
        return fields.get("meta")
    return dict(
        value.split("=", 1)
        for name, value in reversed(read_pairs(request))
        if name == "meta" and "=" in value
    )


def _read_grafana(
    request: IntegrationRequest, fields: dict[str, Any], source: Source
) -> list[Transition | ProblemError]:
    """Read Grafana's unified alerting (as Alertmanager), or legacy `ruleName` and `state`."""
    if isinstance(fields.get("alerts"), list):
        return alertmanager.signals(request, source)
    name = get_first_text(fields, "ruleName", "title")
    if not name:
        raise build_field_problem("ruleName", "missing", "obligatoire", "required")
    state = get_first_text(fields, "state").lower()
    if state in _UNDECIDED_STATES:
        return []
    closes = state in ("ok", "normal", "resolved")
    return [
        Transition(
            shorten_key(f"{get_first_text(fields, 'ruleId')}\x1f{name}"),
            TransitionState.CLOSED if closes else TransitionState.OPEN,
            name,
            get_first_text(fields, "message"),
            flatten_document(fields),
        )
    ]


def build_reply(request: IntegrationRequest, outcome: list[Transition | ProblemError]) -> Reply:  # noqa: ARG001
    """Answer 200. GoAlert sends a 204, but a document helps with reading logs."""
    return Reply(200, {"signals": sum(isinstance(f, Transition) for f in outcome)})
