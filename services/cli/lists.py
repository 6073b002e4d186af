"""Make commands that list resources of the API, now or as known at a time (`--as-of`).

The options, the query and the table that these commands share are here, without any text of a page.
"""

import functools
import inspect
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, get_type_hints, overload
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import typer

from services.cli.client import open_api
from services.cli.output import print_json, print_rows, strip_controls

PARIS = ZoneInfo("Europe/Paris")
PAGE_SIZE = 1000
NO_LIMIT = 100_000
"""Limit that returns everything."""

Row = dict[str, Any]
Column = tuple[str, Callable[[Row], str]]
Filters = dict[str, Any]
"""Query of a list; filters without a value are left out."""
Option = tuple[Any, Any]
"""Annotation and default of an option."""

Realm = Annotated[str | None, typer.Option(help="Default: the live realm")]
AsOf = Annotated[
    str | None,
    typer.Option(
        "--as-of", help="State of knowledge at this time: ISO 8601; without offset, Paris time"
    ),
]
TerritoryFolder = Annotated[
    Path | None,
    typer.Option(
        help="Folder like territories/92; default: the installed one", exists=True, file_okay=False
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document, as in the API")]
Limit = Annotated[int, typer.Option(min=1, help="Largest number of rows")]
Incident = Annotated[str, typer.Argument(help="Id or number (92-2027-0211-01)")]
OfIncident = Annotated[str | None, typer.Option("--incident", help="Id or number of an incident")]


def parse_time(text: str) -> str:
    """Convert a time of the command line to the form of the API.

    Raises typer.BadParameter.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"not a time: {text!r} (2027-02-11T10:15 or 2027-02-11T09:15:00Z)"
        ) from None
    return (at if at.tzinfo else at.replace(tzinfo=PARIS)).isoformat()


def format_local_time(text: str | None) -> str:
    """Format a time of the API as local time."""
    return format_moment(datetime.fromisoformat(text)) if text else ""


def format_moment(at: datetime) -> str:
    """Format a moment as Paris time; the zone of this machine does not matter."""
    return at.astimezone(PARIS).strftime("%d/%m %H:%M:%S")


def format_dated_time(text: str | None) -> str:
    """Format a time of the API that may lie in another year as local time."""
    return datetime.fromisoformat(text).astimezone(PARIS).strftime("%d/%m/%Y %H:%M") if text else ""


def build_query(realm: str | None, as_of: str | None, **filters: Any) -> str:
    """Build the query string, with its question mark."""
    parameters: dict[str, Any] = {
        "realm": realm,
        "as_of": parse_time(as_of) if as_of else None,
        **filters,
    }
    pairs = [
        (k, v)
        for k, values in parameters.items()
        for v in (values if isinstance(values, list) else [values])
        if v is not None
    ]
    return "?" + urlencode(pairs) if pairs else ""


@overload
def resolve_incident(incident: str, realm: str | None) -> str: ...
@overload
def resolve_incident(incident: str | None, realm: str | None) -> str | None: ...
def resolve_incident(incident: str | None, realm: str | None) -> str | None:
    """Resolve the number of an incident to its id.

    Returns ids and unknown numbers unchanged. Exits with one sentence if Vigie does not answer.
    """
    if incident is None or _is_id(incident):
        return incident
    incident_rows = fetch_list("/api/v1/incidents", realm, None, NO_LIMIT, q=incident)["items"]
    return next((str(i["id"]) for i in incident_rows if i["number"] == incident), incident)


def _is_id(text: str) -> bool:
    try:
        uuid.UUID(text)
    except ValueError:
        return False
    return True


def fetch_list(path: str, realm: str | None, as_of: str | None, limit: int, **filters: Any) -> Row:
    """Fetch the pages of a list up to `limit` items, with the other fields of the last page.

    Exits with one sentence on failure.
    """
    items: list[Row] = []
    cursor: str | None = None
    with open_api() as client:
        while True:
            page: Row = client.get(
                path
                + build_query(
                    realm, as_of, limit=min(PAGE_SIZE, limit - len(items)), cursor=cursor, **filters
                )
            )
            items += page["items"]
            cursor = page["next"]
            if cursor is None or len(items) >= limit:
                return page | {"items": items, "next": cursor}


def mark_title(title: str, realm: str | None, as_of: str | None) -> str:
    """Return the title of a table; it names an exercise and a past time.

    A table is copied into mails and chats, without the command that made it.
    """
    marks = (
        f"EXERCICE {realm}" if realm and "~" in realm else "",
        f"état du {format_dated_time(parse_time(as_of))}" if as_of else "",
    )
    told_marks = ", ".join(mark for mark in marks if mark)
    return f"{title} ({told_marks})" if told_marks else title


def show_list(page: Row, as_json: bool, title: str, columns: Sequence[Column]) -> None:
    """Print a list as a table or JSON. A page without `next` is the whole list."""
    if as_json:
        print_json(page)
        return
    heading = f"{title}\u00a0: {len(page['items'])}{'+' if page.get('next') else ''}"
    print_rows(
        heading,
        [name for name, _cell in columns],
        [[strip_controls(cell(item)) for _name, cell in columns] for item in page["items"]],
    )


def add_options(
    run: Callable[..., None],
    build: Callable[..., Any],
    first: Mapping[str, Option] = MappingProxyType({}),
    last: Mapping[str, Option] = MappingProxyType({}),
) -> Callable[..., None]:
    """Give `run` the name, help and options of `build`, with shared options around them.

    An option that `build` names itself is not added.
    """
    hints = get_type_hints(build, include_extras=True)
    own, keyword = inspect.signature(build).parameters, inspect.Parameter.KEYWORD_ONLY

    def make(shared_options: Mapping[str, Option]) -> list[inspect.Parameter]:
        return [
            inspect.Parameter(name, keyword, default=default, annotation=hint)
            for name, (hint, default) in shared_options.items()
            if name not in own
        ]

    mine = [p.replace(kind=keyword, annotation=hints[p.name]) for p in own.values()]
    parameters = [*make(first), *mine, *make(last)]
    functools.update_wrapper(run, build)
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    return run


def listing(
    path: str, title: str, columns: Sequence[Column], *, limit: int = 200
) -> Callable[[Callable[..., Filters | None]], Callable[..., None]]:
    """Make a command that lists the items that pass the filters of a function.

    The options of a function without a body are the filters. The filter `incident` may be a number.
    """
    pagination_options = {"limit": (Limit, limit), "as_json": (AsJson, False)}

    def make(build: Callable[..., Filters | None]) -> Callable[..., None]:
        def run(
            realm: str | None = None,
            as_of: str | None = None,
            limit: int = limit,
            as_json: bool = False,
            **values: Any,
        ) -> None:
            filters = build(**values) or values
            if "incident" in filters:
                filters["incident"] = resolve_incident(filters["incident"], realm)
            page = fetch_list(path, realm, as_of, limit, **filters)
            show_list(page, as_json, mark_title(title, realm, as_of), columns)

        return add_options(
            run, build, {"realm": (Realm, None), "as_of": (AsOf, None)}, pagination_options
        )

    return make
