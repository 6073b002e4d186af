"""Decide from the shell: each command is one decision of the API, with author and reason.

Commands exit with 1 when the decider refuses.
"""

import inspect
import re
import uuid
from collections.abc import Callable, Collection
from typing import Annotated, Any, Final
from urllib.parse import quote, urlencode

import typer

from schemas.words import Answer, Certainty, Channel, LineKind
from services.cli.client import (
    ApiClient,
    ApiRefused,
    VigieUnreachable,
    ask_to_go_on,
    print_error,
)
from services.cli.lists import (
    NO_LIMIT,
    AsJson,
    Incident,
    OfIncident,
    Option,
    Realm,
    add_options,
    fetch_list,
    parse_time,
    resolve_incident,
)
from services.cli.output import create_group, print_json
from services.runtime.process.settings import Settings

DECISION_TIMEOUT_S = 15
"""Seconds to wait for a pending decision."""

Reason = Annotated[str | None, typer.Option(help="Reason; stored encrypted")]
Key = Annotated[
    str | None, typer.Option(help="Idempotency-Key; a repeated key repeats no decision")
]
Expected = Annotated[
    int | None, typer.Option("--if-version", help="Decide only if the version is still this one")
]
OfSite = Annotated[str | None, typer.Option("--site", help="Site, for a card with one per site")]
Plan = Annotated[str, typer.Argument(help="Id of the plan, from `vigie plans`")]
Card = Annotated[str, typer.Argument(help="Id of the card, from `vigie plan show`")]
Force = Annotated[bool, typer.Option("--force", help="Decide against a condition; needs a reason")]


Body = dict[str, Any]
"""Body of a decision; fields without a value are left out."""
_OPTIONS: Final[dict[str, Option]] = {
    "realm": (Realm, None),
    "expected": (Expected, None),
    "key": (Key, None),
    "as_json": (AsJson, False),
}
"""Options of all decisions, with their defaults."""

_REMEDIES: Final = dict.fromkeys(
    ("causes_open", "predicate_holds", "stand_down_not_held"),
    'to decide all the same: --force --reason "…"',
) | dict.fromkeys(("reason_required", "people_missing"), 'add --reason "…"')
"""Option that the sentence of a refusal asks for, by its code."""


def quote_path(id: str) -> str:
    return quote(id, safe="")


def post_decision(
    path: str,
    realm: str | None,
    body: dict[str, Any],
    *,
    key: str | None,
    expected: int | None = None,
    as_json: bool,
    success_text: str,
    creates: str | None = None,
) -> None:
    """Post a decision, wait for the decider and print the result.

    `creates` names the field of the result that holds the id for the next command.

    Raises typer.Exit(1) if it is refused or not decided yet.
    """
    headers = {"Idempotency-Key": key or str(uuid.uuid4())} | (
        {"If-Match": f'"{expected}"'} if expected is not None else {}
    )
    where = f"/api/v1/{path}" + (f"?{urlencode({'realm': realm})}" if realm else "")
    try:
        with ApiClient(Settings(), timeout_s=DECISION_TIMEOUT_S + 15) as client:
            status, result = client.call(
                "POST", where, {k: v for k, v in body.items() if v is not None}, headers
            )
            if status == 202:
                result = client.wait_for_decision(result, DECISION_TIMEOUT_S)
    except (VigieUnreachable, ApiRefused) as exc:
        if as_json and isinstance(exc, ApiRefused):
            print_json(exc.problem)
        raise print_error(exc) from exc
    if as_json:
        print_json(result)
    if result["state"] == "applied":
        if not as_json:
            id = result["result"].get(creates) if creates is not None else None
            typer.secho(success_text if id is None else f"{success_text} : {id}", fg="green")
        return
    if result["state"] == "pending":
        typer.secho(
            f"accepted, not decided yet: GET /api/v1/commands/{result['command_id']}",
            err=True,
            fg="yellow",
        )
    else:
        typer.secho(result["detail"] or result["code"] or "refused", err=True, fg="red")
        if (remedy := _REMEDIES.get(result["code"])) is not None:
            typer.secho(f"  {remedy}", err=True)
    raise typer.Exit(1)


def decision(
    path: str, success_text: str, *, is_versioned: bool = False, creates: str | None = None
) -> Callable[[Callable[..., Body | None]], Callable[..., None]]:
    """Make a command that posts the body that a function returns.

    A function without a body posts its options that are not in the path.

    `path` and `success_text` name parameters of the function in braces; those of the path are
    quoted, and `incident` may be a number. `creates` names the field of the result that holds the
    id of what is new; it is printed. The command gets the options of all decisions, and
    `--if-version` if it is versioned. A function that needs the realm names it, too.
    """
    shared_options = {k: v for k, v in _OPTIONS.items() if is_versioned or k != "expected"}

    def make(build: Callable[..., Body | None]) -> Callable[..., None]:
        own = inspect.signature(build).parameters

        def run(**values: Any) -> None:
            realm = values["realm"]
            options = {name: values[name] for name in own}
            body = build(**options)
            if body is None:
                body = {k: v for k, v in options.items() if f"{{{k}}}" not in path}
            ids = {name: values[name] for name in own if isinstance(values[name], str)}
            if "{incident}" in path:
                ids["incident"] = resolve_incident(values["incident"], realm)
            post_decision(
                path.format(**{name: quote_path(id) for name, id in ids.items()}),
                realm,
                body,
                key=values["key"],
                expected=values.get("expected"),
                as_json=values["as_json"],
                success_text=success_text.format(**ids),
                creates=creates,
            )

        return add_options(run, build, last=shared_options)

    return make


@decision("incidents/{incident}/acknowledge", "Pris en charge")
def ack(
    incident: Incident,
    decline: Annotated[
        bool, typer.Option("--decline", help="Decline; the deputy is called")
    ] = False,
    reason: Reason = None,
) -> Body:
    """Acknowledge the running escalation of an incident, or decline it."""
    return {"answer": Answer.DECLINE if decline else Answer.ACK, "reason": reason}


@decision("incidents/{incident}/escalate", "Vague suivante appelée")
def escalate(incident: Incident, reason: Reason = None) -> None:
    """Call the next step of an escalation now."""


@decision("incidents/{incident}/reapply-policy", "Règles en vigueur appliquées")
def reapply(incident: Incident, reason: Reason = None) -> None:
    """Apply the current steps and delays to the running escalation of an incident."""


@decision("incidents/{incident}/resolve", "Clos", is_versioned=True)
def resolve(incident: Incident, reason: Reason = None, force: Force = False) -> None:
    """Close an incident: its calls stop.

    Refused while one of its causes is open; --force with --reason closes it all the same.
    """


def _parse_level(text: str) -> str:
    if re.fullmatch("[Nn]?[0-4]", text) is None:
        raise typer.BadParameter(f"not a level: {text!r} (N0 … N4)")
    return f"N{text[-1]}"


@decision("level", "Niveau {level}", is_versioned=True)
def level(
    level: Annotated[str, typer.Argument(help="N0 … N4", parser=_parse_level, metavar="LEVEL")],
    scope: Annotated[
        str, typer.Option(help="`territory`, or the id or number of an incident")
    ] = "territory",
    realm: Realm = None,
    reason: Reason = None,
    force: Force = False,
) -> Body:
    """Raise the level, or lower it with a reason."""
    return {
        "level": level,
        "scope": scope if scope == "territory" else resolve_incident(scope, realm),
        "reason": reason,
        "force": force,
    }


def hold(
    until: Annotated[str | None, typer.Option(help="ISO 8601; without offset, Paris time")] = None,
    reason: Reason = None,
    realm: Realm = None,
    end: Annotated[
        bool, typer.Option("--end", help="Resume sending before the end of the hold")
    ] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Hold all sending until a time, except for danger to people: nobody else is called.

    Waiting messages are sent afterwards. Either --until with --reason, or --end.
    """
    if end == (until is not None):
        raise typer.BadParameter("either --until and --reason, or --end")
    if end:
        post_decision(
            "sending/release",
            realm,
            {"reason": reason},
            key=key,
            as_json=as_json,
            success_text="Envois repris",
        )
        return
    body = {"until": parse_time(until or ""), "reason": reason}
    post_decision(
        "sending/hold",
        realm,
        body,
        key=key,
        as_json=as_json,
        success_text="Envois suspendus, sauf les alertes de danger",
    )


@decision("log", "Ligne ajoutée", creates="line")
def note(
    text: Annotated[str, typer.Argument(help="Text of the line, stored encrypted")],
    incident: OfIncident = None,
    realm: Realm = None,
    corrects: Annotated[str | None, typer.Option(help="Id of the line to correct")] = None,
    occurred_at: Annotated[
        str | None,
        typer.Option(
            help="Time of the event, for a line first written on paper: ISO 8601; default: now"
        ),
    ] = None,
    kind: Annotated[LineKind, typer.Option(help="Kind of line")] = LineKind.NOTE,
    source: Annotated[
        str | None, typer.Option(help="Kind of source: prefecture, enedis, …")
    ] = None,
    certainty: Annotated[Certainty | None, typer.Option(help="How sure the line is")] = None,
) -> Body:
    """Write a line in the logbook (main courante)."""
    at = parse_time(occurred_at) if occurred_at else None
    return {
        "text": text,
        "incident": resolve_incident(incident, realm),
        "corrects": corrects,
        "occurred_at": at,
        "kind": kind.value,
        "source": source,
        "certainty": certainty.value if certainty else None,
    }


def _list_dead_notifications(realm: str | None, channels: Collection[Channel]) -> list[str]:
    """List the messages that reached nobody, those about danger first, then by level."""
    items = fetch_list(
        "/api/v1/notifications", realm, None, NO_LIMIT, state=["failed", "ambiguous"]
    )["items"]
    ordered = sorted(items, key=lambda n: (not n.get("danger"), -n.get("level", 0)))
    return [n["id"] for n in ordered if not channels or n.get("channel") in channels]


def resend(
    notifications: Annotated[
        list[str] | None, typer.Argument(help="Ids of notifications; none with --dead")
    ] = None,
    dead: Annotated[
        bool, typer.Option("--dead", help="All that failed or were possibly not sent")
    ] = False,
    channel: Annotated[
        list[Channel] | None, typer.Option(help="With --dead: only those of this channel")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --dead: skip the confirmation")] = False,
    realm: Realm = None,
    reason: Reason = None,
    as_json: AsJson = False,
) -> None:
    """Resend messages that reached nobody, after a repair; danger to people first.

    `vigie notifications --state failed` lists them. With --dead it asks before it resends all.
    """
    if bool(notifications) == dead or (channel and not dead):
        raise typer.BadParameter("give identifiers, or --dead")
    notification_ids = notifications or _list_dead_notifications(realm, channel or ())
    if dead and notification_ids and not yes:
        count = len(notification_ids)
        what = "1 message" if count == 1 else f"{count} messages"
        ask_to_go_on(f"Renvoyer {what} ?", "Add --yes to resend without asking.")
    refusal_count = 0
    for id in notification_ids:
        try:
            post_decision(
                f"notifications/{quote_path(id)}/replay",
                realm,
                {"reason": reason},
                key=None,
                as_json=as_json,
                success_text=f"Repris : {id}",
            )
        # The error is printed already; the other messages are tried nevertheless.
        except typer.Exit:
            refusal_count += 1
    if not notification_ids:
        typer.echo("Rien à reprendre")
    if refusal_count:
        raise typer.Exit(1)


card = create_group("Start, finish or skip an action card.")


@card.command("start")
@decision("plans/{plan}/cards/{card}/start", "Fiche commencée")
def start_card(plan: Plan, card: Card, site: OfSite = None) -> None:
    """Start a card; for a site that a person chooses, open it there."""


@card.command("done")
@decision("plans/{plan}/cards/{card}/done", "Fiche faite")
def done_card(plan: Plan, card: Card, site: OfSite = None, reason: Reason = None) -> None:
    """Complete a card; `vigie plan complete` also takes its evidence."""


@card.command("not-applicable")
@decision("plans/{plan}/cards/{card}/not-applicable", "Fiche sans objet")
def skip_card(
    plan: Plan, card: Card, reason: Annotated[str, typer.Option(help="Reason")], site: OfSite = None
) -> None:
    """Skip a card that does not apply."""
