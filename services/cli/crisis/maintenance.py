"""`vigie maintenance`: maintenance windows from the shell.

Rule D64.
"""

from typing import Annotated, Any
from urllib.parse import quote

import typer

from schemas.matchers import Matcher
from services.cli.crisis.decide import Expected, Key, decision, post_decision
from services.cli.lists import AsJson, Realm, format_dated_time, listing, parse_time
from services.cli.output import IDENTIFIER, create_group
from services.console.i18n import get_translator
from services.console.maintenance.page import describe_rule

app = create_group("Planned works: shown, without calls.")
_STATE = {"active": "en cours", "planned": "à venir", "over": "terminés"}
_ = get_translator("fr")


def parse_matcher(text: str) -> dict[str, Any]:
    """Parse a matcher to the form of the API.

    Raises typer.BadParameter.
    """
    try:
        return Matcher.parse(text).model_dump()
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


@app.command("list")
@listing(
    "/api/v1/maintenance",
    "Travaux",
    (
        (IDENTIFIER, lambda m: m["id"]),
        ("État", lambda m: str(_STATE.get(m["state"], m["state"]))),
        ("Quoi, où", lambda m: m["title"]),
        ("De", lambda m: format_dated_time(m["begins_at"] or m["starts_at"])),
        ("À", lambda m: format_dated_time(m["over_at"] or m["until_at"] or m["ends_at"])),
        ("Répétition", lambda m: describe_rule(m["rrule"], _)),
        ("Causes", lambda m: str(m["causes"])),
        ("Version", lambda m: str(m["version"])),
    ),
)
def list_(
    state: Annotated[list[str] | None, typer.Option(help="active, planned, over")] = None,
    site: Annotated[str | None, typer.Option(help="Only windows that may cover this site")] = None,
) -> None:
    """List windows: active ones, then the next to begin, then past ones."""


@app.command("add")
def add(
    starts_at: Annotated[str, typer.Option("--from", help="ISO 8601; without offset, Paris time")],
    ends_at: Annotated[
        str, typer.Option("--to", help="ISO 8601; of the first occurrence, if it recurs")
    ],
    reason: Annotated[str, typer.Option(help="Reason; stored encrypted")],
    site: Annotated[
        list[str] | None, typer.Option(help="May be repeated, like all options below")
    ] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Kind of site")] = None,
    pole: Annotated[list[str] | None, typer.Option(help="Id of a pôle")] = None,
    type: Annotated[list[str] | None, typer.Option(help="outage_power, outage_it, …")] = None,
    source: Annotated[
        list[str] | None, typer.Option(help="Kind of source, or id of a registered source")
    ] = None,
    match: Annotated[
        list[str] | None,
        typer.Option(help="Label of machine alerts: alertname=Down, instance=~web.*"),
    ] = None,
    rrule: Annotated[str | None, typer.Option(help="RFC 5545: FREQ=WEEKLY;BYDAY=SU")] = None,
    change: Annotated[str | None, typer.Option(help="Id of the window to replace")] = None,
    realm: Realm = None,
    expected: Expected = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Plan a maintenance window.

    All given conditions must hold. It never covers danger to people or severity 5.
    """
    body = {
        "sites": site or [],
        "kinds": kind or [],
        "poles": pole or [],
        "types": type or [],
        "sources": source or [],
        "matchers": [parse_matcher(m) for m in match or []],
        "starts_at": parse_time(starts_at),
        "ends_at": parse_time(ends_at),
        "rrule": rrule,
        "reason": reason,
    }
    path = "maintenance" if change is None else f"maintenance/{quote(change, safe='')}/change"
    post_decision(
        path,
        realm,
        body,
        key=key,
        expected=expected,
        as_json=as_json,
        success_text="Travaux prévus" if change is None else "Travaux modifiés",
        creates="window" if change is None else None,
    )


@app.command("end")
@decision("maintenance/{window}/end", "Travaux terminés", is_versioned=True)
def end(
    window: Annotated[str, typer.Argument(help="Id of the window, from `vigie maintenance list`")],
    reason: Annotated[str | None, typer.Option(help="Reason; stored encrypted")] = None,
) -> None:
    """End a window now and for good; incidents that are still open call again."""
