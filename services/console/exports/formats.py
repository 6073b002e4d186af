"""Choose the form of a list: JSON, CSV or GeoJSON, by `?format=` or the `Accept` header."""

from typing import Annotated, Any, Final, Literal

from fastapi import Depends, Query, Request

CSV: Final = "text/csv"
GEOJSON: Final = "application/geo+json"
JSON: Final = "application/json"
EXERCISE_MARK: Final = "EXERCICE-"
"""Begin of the name of each file of an exercise."""
ListForm = Literal["json", "csv", "geojson"]
_MEDIA_TYPES: Final[dict[ListForm, str]] = {"json": JSON, "csv": CSV, "geojson": GEOJSON}
_DESCRIPTION: Final = (
    "csv: the whole list as a table (UTF-8 with BOM, semicolons), whatever `limit` says; "
    "default: by `Accept`, else json"
)
TABLE_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {CSV: {"schema": {"type": "string"}}}}
}
"""Response contents of a table for the OpenAPI document, beside JSON."""
MAP_RESPONSES: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {CSV: {"schema": {"type": "string"}}, GEOJSON: {"schema": {"type": "object"}}}}
}
"""Response contents of a map for the OpenAPI document, beside JSON."""


def choose_form(accept: str | None, forms: tuple[ListForm, ...]) -> ListForm:
    """Return the offered form that an `Accept` header prefers (RFC 9110 12.5.1).

    JSON wins a tie, and stands for a header that names none of them.
    """
    weights: dict[ListForm, float] = {"json": 0.0}
    for part in (accept or "").split(","):
        media, _, params = part.strip().partition(";")
        for form in forms:
            if media.strip().lower() == _MEDIA_TYPES[form]:
                weights[form] = _parse_weight(params)
    return max(weights, key=lambda form: (weights[form], form == "json"))


def _parse_weight(params: str) -> float:
    """Return the weight `q` among the parameters of a media type, 1 by default."""
    for param in params.split(";"):
        name, _, value = param.strip().partition("=")
        if name.lower() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0


def _choose_table_form(
    request: Request,
    requested_form: Annotated[
        Literal["json", "csv"] | None, Query(alias="format", description=_DESCRIPTION)
    ] = None,
) -> ListForm:
    return requested_form or choose_form(request.headers.get("accept"), ("json", "csv"))


def _choose_map_form(
    request: Request,
    requested_form: Annotated[
        Literal["json", "csv", "geojson"] | None,
        Query(alias="format", description=f"{_DESCRIPTION}; geojson: as a map (RFC 7946)"),
    ] = None,
) -> ListForm:
    return requested_form or choose_form(request.headers.get("accept"), ("json", "csv", "geojson"))


TableForm = Annotated[ListForm, Depends(_choose_table_form)]
"""Form of a list that is also a table."""
MapForm = Annotated[ListForm, Depends(_choose_map_form)]
"""Form of a list that is also a table and a map."""
