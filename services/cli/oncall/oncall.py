"""`vigie oncall`, `vigie readiness`, `vigie drill`: schedules, readiness, monthly drill."""

import time
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer
from rich.table import Table

from services.cli.client import call_api, print_error
from services.cli.crisis.decide import Body, Key, Reason, decision, post_decision
from services.cli.lists import (
    NO_LIMIT,
    AsJson,
    AsOf,
    Realm,
    build_query,
    fetch_list,
    format_dated_time,
    format_local_time,
    listing,
    parse_time,
    show_list,
)
from services.cli.oncall.migration import migrate
from services.cli.output import create_group, open_console, print_json
from services.console.i18n import get_translator
from services.console.oncall.feed_links import FeedLinks
from services.console.texts import words as w
from services.oncall.ics import MAX_FILE_BYTES
from services.runtime.process.settings import Settings

PROBE_WAIT_S: Final = 15.0
"""Wait for the channels of a drill; each has 10 seconds to answer."""
app = create_group("On-call: people, gaps, calendars, overrides.")
RoleOption = Annotated[
    str | None, typer.Option(help="Role of the organisation, e.g. astreinte_technique")
]
Scope = Annotated[
    str | None, typer.Option(help="Pôle or site; absent for a role of the whole territory")
]
Deputy = Annotated[bool, typer.Option("--deputy", help="Change the deputy instead of the holder")]
From = Annotated[str | None, typer.Option("--from", help="ISO 8601; without offset, Paris time")]
To = Annotated[str | None, typer.Option("--to", help="ISO 8601; without offset, Paris time")]
_ = get_translator("fr")
_STATE_LABELS = {"in_force": "en vigueur", "replaced": "remplacé", "withdrawn": "retiré"}


def _span_fields(start: str | None, end: str | None) -> dict[str, str | None]:
    return {"from": parse_time(start) if start else None, "to": parse_time(end) if end else None}


@app.command()
def who(
    at: Annotated[
        str | None, typer.Option(help="ISO 8601; without offset, Paris time; default: now")
    ] = None,
    role: RoleOption = None,
    scope: Scope = None,
    realm: Realm = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Show the people on call, and until when."""
    on_call_page = fetch_list(
        "/api/v1/oncall", realm, as_of, NO_LIMIT, role=role, scope=scope, **_span_fields(at, None)
    )
    show_list(
        on_call_page,
        as_json,
        "Astreintes",
        (
            ("Rôle", lambda p: p["role_name"]),
            ("Périmètre", lambda p: p["scope_name"] or ""),
            ("Titulaire", lambda p: p["now"]["holder"] or "personne"),
            ("Suppléant", lambda p: p["now"]["deputy"] or "personne"),
            ("Jusqu’au", lambda p: format_dated_time(p["now"]["until"])),
            (
                "Par",
                lambda p: w.translate_code(w.STAND, p["holder"][0]["by"], _) if p["holder"] else "",
            ),
        ),
    )
    for broken in on_call_page["limits"] if not as_json else ():
        span = f"{format_local_time(broken['from'])} – {format_local_time(broken['to'])}"
        typer.secho(
            f"{broken['person']} : {broken['text']} ({broken['hours']} h, {span})", fg="yellow"
        )


@app.command()
def gaps(
    days: Annotated[int, typer.Option(min=1, max=31, help="Days ahead")] = 14,
    realm: Realm = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """List hours ahead without a holder or a deputy for a role."""
    proof = call_api("GET", "/api/v1/readiness" + build_query(realm, as_of, days=days))
    items = [h for h in proof["items"] if h["kind"] in ("nobody", "no_holder", "no_deputy")]
    _show_gaps({"items": items}, as_json, "Trous d’astreinte")


def _show_gaps(page: dict[str, Any], as_json: bool, title: str) -> None:
    show_list(
        page,
        as_json,
        title,
        (
            ("Trou", lambda h: h["text"]),
            ("Rôle", lambda h: h["role_name"]),
            ("Périmètre", lambda h: h["scope_name"] or ""),
            ("Personne", lambda h: h["person"] or ""),
            ("Du", lambda h: format_local_time(h["from"])),
            ("Au", lambda h: format_local_time(h["to"])),
            ("À faire", lambda h: h["fix_text"]),
        ),
    )


@app.command("import")
def import_calendar(
    file: Annotated[Path, typer.Argument(help="iCalendar file (.ics)")],
    role: RoleOption = None,
    scope: Scope = None,
    deputy: Deputy = False,
    calendar: Annotated[
        str | None,
        typer.Option(
            help=(
                "Name of the calendar; importing it again replaces it. Default: the name in "
                "the file, or the file name"
            )
        ),
    ] = None,
    start: From = None,
    end: To = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the shifts and import nothing")
    ] = False,
    realm: Realm = None,
    reason: Reason = None,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Import the shifts of a calendar.

    Events name a person by token, name or mail address, and the role unless --role does.
    """
    try:
        size = file.stat().st_size
        if size > MAX_FILE_BYTES:
            raise ValueError(
                f"ce fichier est trop gros : {size / (1 << 20):.1f} Mo, la limite est de {MAX_FILE_BYTES >> 20} Mo"
            )
        content = file.read_bytes()
    except (OSError, ValueError) as exc:
        why = exc.strerror if isinstance(exc, OSError) else exc
        raise print_error(f"{file} : {why}") from exc
    parameters: dict[str, Any] = {
        "realm": realm,
        "role": role,
        "scope": scope,
        "place": "deputy" if deputy else None,
        "calendar": (calendar or file.stem)[:64],
        "reason": reason,
        "dry_run": "true" if dry_run else None,
        **_span_fields(start, end),
    }
    path = "/api/v1/oncall/import?" + urlencode(
        {k: v for k, v in parameters.items() if v is not None}
    )
    headers = {"Content-Type": "text/calendar"} | ({"Idempotency-Key": key} if key else {})
    answer = call_api("POST", path, content, headers)
    if as_json:
        print_json(answer)
        return
    rows = [{**post, **shift} for post in answer["items"] for shift in post["shifts"]]
    show_list(
        {"items": rows},
        False,
        f"{answer['calendar']} : {answer['shifts']} gardes",
        (
            ("Rôle", lambda s: s["role"]),
            ("Périmètre", lambda s: s["scope"] or ""),
            ("Place", lambda s: w.PLACE[s["place"]]),
            ("Du", lambda s: format_dated_time(s["from"])),
            ("Au", lambda s: format_dated_time(s["to"])),
            ("Personne", lambda s: s["person"] or "personne"),
        ),
    )
    if answer["withdrawn"]:
        typer.echo(f"Postes dont ce calendrier ne parle plus, retirés : {answer['withdrawn']}")
    typer.secho(
        "Rien n’a été importé (--dry-run)" if dry_run else "Calendrier importé",
        fg="yellow" if dry_run else "green",
    )


app.command()(migrate)


@app.command()
@decision("oncall/overrides", "Remplacement enregistré", creates="duty")
def override(
    role: Annotated[str, typer.Argument(help="Role of the organisation")],
    person: Annotated[str, typer.Argument(help="Person token; `personne` = nobody")],
    start: Annotated[str, typer.Option("--from", help="ISO 8601; without offset, Paris time")],
    end: Annotated[str, typer.Option("--to", help="ISO 8601; without offset, Paris time")],
    reason: Annotated[str, typer.Option(help="Reason; stored encrypted")],
    scope: Scope = None,
    deputy: Deputy = False,
) -> Body:
    """Put another person on call for a while."""
    body: dict[str, Any] = {
        "role": role,
        "scope": scope,
        "place": "deputy" if deputy else None,
        "reason": reason,
        **_span_fields(start, end),
    }
    body |= {"nobody": True} if person == "personne" else {"person": person}
    return body


@app.command()
@decision("oncall/swaps", "Échange enregistré", creates="duty")
def swap(
    role: Annotated[str, typer.Argument(help="Role of the organisation")],
    start: Annotated[
        str,
        typer.Option(
            "--from", help="Begin of the first span: ISO 8601; without offset, Paris time"
        ),
    ],
    end: Annotated[str, typer.Option("--to", help="End of the first span")],
    other_start: Annotated[str, typer.Option("--with-from", help="Begin of the second span")],
    other_end: Annotated[str, typer.Option("--with-to", help="End of the second span")],
    reason: Annotated[str, typer.Option(help="Reason; stored encrypted")],
    scope: Scope = None,
    deputy: Deputy = False,
) -> Body:
    """Swap two spans of a role between their people."""
    return {
        "role": role,
        "scope": scope,
        "place": "deputy" if deputy else None,
        "reason": reason,
        **_span_fields(start, end),
        "other_from": parse_time(other_start),
        "other_to": parse_time(other_end),
    }


@app.command()
@decision("oncall/duties/{duty}/withdraw", "Retiré")
def withdraw(
    duty: Annotated[str, typer.Argument(help="Id of the decision")], reason: Reason = None
) -> None:
    """Withdraw an override, a swap or a calendar."""


@app.command()
@listing(
    "/api/v1/oncall/duties",
    "Changements d’astreinte",
    (
        ("Type", lambda d: w.translate_code(w.STAND, d["kind"], _)),
        ("Rôle", lambda d: w.translate_code(w.ROLE, d["role"], _)),
        ("Périmètre", lambda d: d["scope"] or ""),
        ("Place", lambda d: w.PLACE[d["place"]]),
        ("Du", lambda d: format_dated_time(d["from"])),
        ("Au", lambda d: format_dated_time(d["to"])),
        ("Personnes", lambda d: ", ".join(p or "personne" for p in d["persons"])),
        ("État", lambda d: _STATE_LABELS[d["state"]]),
        ("Identifiant", lambda d: d["id"]),
    ),
)
def duties(role: RoleOption = None) -> None:
    """List overrides, swaps and calendars, newest first."""


@app.command()
def feeds(
    realm: Realm = None,
    role: RoleOption = None,
    scope: Scope = None,
    renew: Annotated[
        bool,
        typer.Option(
            "--renew",
            help="Make all earlier addresses invalid; only on the machine of the installation",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the secret calendar addresses of each role, for calendar programs."""
    settings = Settings()
    if renew:
        try:
            FeedLinks.open(settings.data.secrets).renew()
        except OSError as exc:
            raise print_error(exc) from exc
    feed_page = call_api(
        "GET", "/api/v1/oncall/feeds" + build_query(realm, None, role=role, scope=scope)
    )
    show_list(
        feed_page,
        as_json,
        "Calendriers",
        (
            ("Rôle", lambda f: f["role"]),
            ("Périmètre", lambda f: f["scope"] or ""),
            ("Adresse", lambda f: settings.urls[0] + f["url"]),
        ),
    )


def readiness(
    days: Annotated[int, typer.Option(min=1, max=31, help="Days ahead")] = 14,
    site: Annotated[
        str | None, typer.Option(help="Show the people reached for this site, hour by hour")
    ] = None,
    realm: Realm = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """Prove that somebody would answer at every hour ahead, for each site and role.

    Each gap comes with its remedy.
    """
    proof = call_api("GET", "/api/v1/readiness" + build_query(realm, as_of, days=days, site=site))
    if as_json:
        print_json(proof)
    else:
        _show_readiness(proof)
        if proof["without_provider"]:
            typer.echo(
                f"Canaux sans fournisseur : {', '.join(proof['without_provider'])}. Aucun message ne part par eux (docs/how-to/send-messages.md)."
            )
        _show_gaps({"items": proof["items"]}, False, "À combler")
        if site is not None:
            show_list(
                {"items": proof["reached"]},
                False,
                f"Qui serait joint pour {site}",
                (
                    ("Rôle", lambda r: w.translate_code(w.ROLE, r["role"], _)),
                    ("Du", lambda r: format_local_time(r["from"])),
                    ("Au", lambda r: format_local_time(r["to"])),
                    ("Personne", lambda r: r["person"] or "personne"),
                    ("Canal", lambda r: r["channel"] or ""),
                    (
                        "Minutes",
                        lambda r: f"{r['minutes']:.1f}" if r["minutes"] is not None else "",
                    ),
                ),
            )


def drill(
    realm: Realm = None,
    as_of: AsOf = None,
    now: Annotated[
        bool,
        typer.Option(
            "--now", help="Test now and show the result; it counts for this month. Nobody is called"
        ),
    ] = False,
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Show the monthly drill: the reach of every step and the state of every channel.

    With `--now`, waits for the answers of the channels. Exits with 1 if a step or a channel would
    fail, or if no channel could send anything. Nobody is called.
    """
    if now:
        post_decision(
            "drills",
            realm,
            {},
            key=key,
            as_json=False,
            success_text="" if as_json else "Essai fait : personne n’a été appelé.",
        )
    drills = _fetch_newest_drill(build_query(realm, as_of, limit=1), wait=now)
    if as_json:
        print_json(drills[0] if drills else None)
    elif not drills:
        typer.echo(
            "Aucun essai n’a encore eu lieu (escalade.yaml, astreintes_preuve : essai_mensuel)."
        )
    else:
        _show_drill(drills[0])
    if drills and not drills[0]["ok"]:
        raise typer.Exit(1)


def _fetch_newest_drill(query: str, *, wait: bool) -> list[dict[str, Any]]:
    """Return the newest drill; `wait` waits for the answers of its channels, for a time."""
    end = time.monotonic() + (PROBE_WAIT_S if wait else 0)
    while True:
        drills: list[dict[str, Any]] = call_api("GET", f"/api/v1/drills{query}")["items"]
        if not drills or drills[0]["probed_at"] or time.monotonic() >= end:
            return drills
        time.sleep(0.5)


def _is_proven(drill: dict[str, Any]) -> bool:
    """Return whether some channel can send; otherwise say that steps are reached on paper only."""
    if not drill["probed_at"]:
        typer.echo("Les canaux n’ont pas encore répondu : rien n’est prouvé.")
        return False
    if all(channel["outcome"] == "not_configured" for channel in drill["channels"]):
        typer.echo(
            "Aucun canal n’est configuré : personne ne serait appelé "
            "(docs/how-to/send-messages.md)."
        )
        return False
    return True


def _show_drill(drill: dict[str, Any]) -> None:
    is_proven = _is_proven(drill)
    show_list(
        {"items": drill["rungs"]},
        False,
        f"Essai de {drill['month']}, le {format_local_time(drill['at'])}",
        (
            ("Niveau", lambda r: r["ladder"]),
            ("Vague", lambda r: str(r["wave"])),
            (
                "Postes joints" if is_proven else "Joints sur le papier",
                lambda r: f"{r['reached']} sur {r['posts']}",
            ),
            ("Trop tard", lambda r: str(r["late"] or "")),
            (
                "Au plus tard (min)",
                lambda r: "" if r["slowest_min"] is None else f"{r['slowest_min']:.1f}",
            ),
            (
                "Personne",
                lambda r: ", ".join(r["silent"][:5]) + ("…" if len(r["silent"]) > 5 else ""),
            ),
        ),
    )
    show_list(
        {"items": drill["channels"]},
        False,
        "Canaux, sans message" if drill["probed_at"] else "Canaux : pas encore de réponse",
        (
            ("Canal", lambda c: c["channel_name"]),
            ("Essai", lambda c: c["text"]),
            ("Code", lambda c: c["error"] or ""),
        ),
    )


def _show_readiness(proof: dict[str, Any]) -> None:
    table = Table(
        title=f"Préparation : {proof['ready_pct']:.1f} % de {proof['hours']} heures (site × rôle × heure)"
    )
    for name in ("Rôle", "Heures", "Prêtes", "%"):
        table.add_column(name, justify="left" if name == "Rôle" else "right")
    for role in proof["roles"]:
        table.add_row(
            role["role_name"],
            str(role["hours"]),
            str(role["ready"]),
            f"{100 * role['ready'] / max(role['hours'], 1):.1f}",
        )
    open_console().print(table)
