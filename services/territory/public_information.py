"""Read the facts for the public pages from `communiques.yaml`. Rules D96, D97."""

from collections.abc import Collection
from typing import Any, Final

from schemas import reference as ref
from services.territory.policy import TO_FILL_IN
from services.territory.source import SourceFile, find_line, to_plain_value

_FIELDS: Final = frozenset({"telephone", "telephone_agents", "services"})
_SERVICE_FIELDS: Final = frozenset({"genre", "nom", "nom_en", "ailleurs"})


def read_public_information(
    f: SourceFile, entry: Any, kinds: Collection[str]
) -> ref.PublicInformation | None:
    """Read the kinds of sites that are shown, and the numbers. One to be filled counts as none."""
    fields = to_plain_value(entry)
    _check_fields(f, find_line(entry), "page_publique", fields, _FIELDS)
    services = []
    for n, one in enumerate(fields.get("services", [])):
        line = find_line(entry["services"], n)
        _check_fields(f, line, "page_publique, services", one, _SERVICE_FIELDS)
        if one.get("genre") not in kinds:
            f.fault(line, f"page_publique: no site of kind {one.get('genre')!r} in sites.csv")
        service = f.make(
            ref.PublicService,
            line,
            kind=one.get("genre"),
            name=one.get("nom"),
            name_en=one.get("nom_en"),
            has_substitutes=one.get("ailleurs", False),
        )
        if service is not None:
            services.append(service)
    return f.make(
        ref.PublicInformation,
        find_line(entry),
        phone=_read_number(fields.get("telephone")),
        agents_phone=_read_number(fields.get("telephone_agents")),
        services=services,
    )


def _read_number(value: Any) -> str | None:
    return None if value in (None, "", TO_FILL_IN) else str(value)


def _check_fields(
    f: SourceFile, line: int, where: str, fields: Any, allowed_fields: frozenset[str]
) -> None:
    for field in sorted(set(fields) - allowed_fields):
        names = ", ".join(sorted(allowed_fields))
        f.fault(line, f"{where}: no field {field!r}; there are {names}")
