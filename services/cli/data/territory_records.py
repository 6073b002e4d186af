"""`vigie territory records`, `record`, `edit`, `new` and `retire`: change one record. Rule D86."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from urllib.parse import quote

import typer
from rich.table import Table

from schemas.reference_changes import FieldValue, RecordKind
from services.cli.client import call_api
from services.cli.crisis.decide import Body, decision
from services.cli.lists import AsJson, AsOf, Filters, Realm, build_query, listing, show_list
from services.cli.output import IDENTIFIER, open_console
from services.console.i18n import get_translator
from services.console.reference.record_names import KINDS

_ = get_translator("fr")
_KIND_NAMES = ", ".join(RecordKind)
Kind = Annotated[RecordKind, typer.Argument(help=_KIND_NAMES)]
RecordId = Annotated[
    str, typer.Argument(metavar="ID", help="Id of the record, as `records` lists it")
]


@listing(
    "/api/v1/reference/records",
    "Fiches des données de référence",
    (
        (IDENTIFIER, lambda r: r["id"]),
        ("Genre", lambda r: _(KINDS[RecordKind(r["kind"])])),
        ("Nom", lambda r: r["name"]),
        ("Changement en attente", lambda r: r["change"] or "–"),
    ),
    limit=1000,
)
def records(
    kind: Annotated[
        list[RecordKind] | None, typer.Option(help=f"{_KIND_NAMES}; default: all")
    ] = None,
) -> Filters:
    """List the records that can be changed by themselves, and their open changes."""
    return {"kind": [one.value for one in kind] if kind else None}


def record(kind: Kind, id: RecordId, realm: Realm = None, as_of: AsOf = None) -> None:
    """Show the fields of one record, as `edit` changes them."""
    record_row = _fetch_record(kind, id, realm, as_of)
    table = Table(title=record_row["name"])
    for column in ("Champ", "Libellé", "Valeur"):
        table.add_column(column)
    for field in record_row["fields"]:
        value = field["value"]
        text = "\n".join(map(str, value)) if isinstance(value, list) else value
        table.add_row(field["name"], field["label"], "–" if text is None else str(text))
    open_console().print(table)


@decision(
    "reference/records/{kind}/{id}/proposals",
    "changement proposé : une autre personne l’approuve (vigie territory changes)",
)
def edit(
    kind: Kind,
    id: RecordId,
    reason: Annotated[str, typer.Option(help="Reason; stored encrypted")],
    values: Annotated[
        list[str],
        typer.Option(
            "--set",
            metavar="FIELD=VALUE",
            help="New value; an empty one empties the field; lists one item a line",
        ),
    ],
    realm: Realm = None,
) -> Body:
    """Propose other values for one record; another person approves them."""
    record_row = _fetch_record(kind, id, realm)
    field_values = _parse_values(record_row["fields"], values)
    return {"values": field_values, "seen": record_row["seen"], "reason": reason}


@decision(
    "reference/new-records/{kind}/proposals",
    "fiche proposée : une autre personne l’approuve (vigie territory changes)",
)
def new(
    kind: Kind,
    reason: Annotated[str, typer.Option(help="Reason; stored encrypted")],
    values: Annotated[
        list[str],
        typer.Option(
            "--set", metavar="FIELD=VALUE", help="Value of a field; lists one item a line"
        ),
    ],
    realm: Realm = None,
) -> Body:
    """Propose a new record; another person approves it."""
    form = call_api("GET", f"/api/v1/reference/new-records/{kind}{build_query(realm, None)}")
    return {"values": _parse_values(form["fields"], values), "reason": reason}


@decision(
    "reference/records/{kind}/{id}/withdrawal",
    "retrait proposé : une autre personne l’approuve (vigie territory changes)",
)
def retire(
    kind: Kind, id: RecordId, reason: Annotated[str, typer.Option(help="Reason; stored encrypted")]
) -> None:
    """Propose to withdraw a record; another person approves it. Refused if something names it."""


def _parse_values(
    fields: Sequence[Mapping[str, Any]], texts: Sequence[str]
) -> dict[str, FieldValue]:
    """Return field → value. Raises typer.BadParameter."""
    widgets = {field["name"]: field["widget"] for field in fields}
    typed_values: dict[str, FieldValue] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator or name not in widgets:
            raise typer.BadParameter(f"{name}: FIELD=VALUE, fields: {', '.join(widgets)}")
        is_list = widgets[name] in ("lines", "choices", "ordered")
        typed_values[name] = tuple(value.splitlines()) if is_list else value
        if widgets[name] == "number":
            typed_values[name] = _parse_number(name, value)
    return typed_values


_STATES = {
    "overdue": "en retard",
    "due": "à relire",
    "waiting": "changement à approuver",
    "current": "à jour",
}


def reviews(
    kind: Annotated[
        list[RecordKind] | None, typer.Option(help="plan, activity, contact; default: all")
    ] = None,
    realm: Realm = None,
    as_of: AsOf = None,
    as_json: AsJson = False,
) -> None:
    """List the yearly reviews of plans, activities and partners, the most urgent first."""
    kinds = [one.value for one in kind] if kind else None
    review_page = call_api(
        "GET", f"/api/v1/reference/reviews{build_query(realm, as_of, kind=kinds)}"
    )
    show_list(
        review_page,
        as_json,
        "Revue annuelle",
        (
            (IDENTIFIER, lambda r: r["id"]),
            ("Genre", lambda r: _(KINDS[RecordKind(r["kind"])])),
            ("Nom", lambda r: r["title"]),
            ("Relu par", lambda r: r["owner"]),
            ("Dernière relecture", lambda r: r["reviewed_on"] or "–"),
            ("Confirmé par", lambda r: r["confirmed_by"] or "–"),
            ("Prochaine", lambda r: r["due_on"] or "–"),
            ("État", lambda r: _STATES[r["state"]]),
        ),
    )


@decision(
    "reference/reviews/{kind}/{id}/confirm",
    "relecture proposée : une autre personne l’approuve (vigie territory changes)",
)
def confirm(
    id: RecordId,
    kind: Annotated[RecordKind, typer.Option(help="plan, activity, contact")] = RecordKind.PLAN,
    reason: Annotated[str | None, typer.Option(help="Reason; stored encrypted")] = None,
) -> None:
    """Confirm a plan with its cards, an activity or a partner; another person approves it."""


def _parse_number(name: str, text: str) -> int | float:
    try:
        return int(text) if text.lstrip("-").isdigit() else float(text.replace(",", "."))
    except ValueError:
        raise typer.BadParameter(f"{name}: a number is expected") from None


def _fetch_record(
    kind: RecordKind, id: str, realm: str | None, as_of: str | None = None
) -> dict[str, Any]:
    """Return a record. Raises typer.Exit."""
    path = f"reference/records/{kind}/{quote(id, safe='')}{build_query(realm, as_of)}"
    return dict(call_api("GET", f"/api/v1/{path}"))
