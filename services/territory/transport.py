"""Read `transport.yaml`: lines of public transport, and the communes that they serve. Rule D130."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from schemas import reference as ref
from services.territory.source import SourceFile, find_line, to_plain_value

_FIELDS: Final = {"id": "id", "nom": "name", "mode": "mode", "communes": "communes"}
"""Field in the file → field of a line."""


def read_watched_names(f: SourceFile) -> Mapping[str, str] | None:
    """Return id → name of the lines in `flux.yaml`; None for a territory without feeds."""
    if not f.exists():
        return None
    lines = to_plain_value(f.yaml().get("lignes")) or {}
    return {str(id): str(name) for id, name in (lines.get("noms") or {}).items()}


def read_transport(
    f: SourceFile, communes: Collection[str], watched_lines: Mapping[str, str] | None
) -> ref.TransportLines | None:
    """Read `transport.yaml`; a territory without it ties no line to a site.

    `watched_lines` holds the lines of `flux.yaml`. Reports name lines by these ids, so an id
    that the feed does not know, or knows under another name, is a fault.
    """
    if not f.exists():
        return None
    document = f.yaml()
    nodes = document.get("lignes") if isinstance(document, dict) else None
    if not isinstance(nodes, list) or not nodes:
        f.fault(find_line(document, "lignes"), "lignes: a list of lines is expected")
        return None
    lines: dict[str, ref.TransportLine] = {}
    for k, node in enumerate(nodes):
        place = find_line(nodes, k)
        line = _read_line(f, node, place)
        if line is None:
            continue
        if line.id in lines:
            f.fault(place, f"line {line.id!r} stands twice")
        elif line.name in {other.name for other in lines.values()}:
            f.fault(place, f"line {line.id!r}: another line is named {line.name!r}, too")
        lines.setdefault(line.id, line)
        _check_line(f, place, line, communes, watched_lines)
    return f.make(ref.TransportLines, 1, lines=tuple(lines.values()))


def _read_line(f: SourceFile, node: Any, place: int) -> ref.TransportLine | None:
    if not isinstance(node, dict):
        f.fault(place, f"a line has {', '.join(_FIELDS)}")
        return None
    values = to_plain_value(node)
    for name in sorted(values.keys() - _FIELDS.keys()):
        f.fault(place, f"line {values.get('id')!r}: no field {name!r}")
    return f.make(
        ref.TransportLine,
        place,
        **{field: values[name] for name, field in _FIELDS.items() if name in values},
    )


def _check_line(
    f: SourceFile,
    place: int,
    line: ref.TransportLine,
    communes: Collection[str],
    watched_lines: Mapping[str, str] | None,
) -> None:
    """Report communes that the territory lacks or that stand twice, and ids of no watched line."""
    for insee in dict.fromkeys(line.communes):
        if insee not in communes:
            f.fault(place, f"line {line.id!r}: no commune {insee!r} in communes.csv")
        if line.communes.count(insee) > 1:
            f.fault(place, f"line {line.id!r}: commune {insee!r} stands twice")
    if watched_lines is None:
        return
    if line.id not in watched_lines:
        f.fault(place, f"line {line.id!r}: flux.yaml watches no line of this id")
    elif watched_lines[line.id] != line.name:
        f.fault(place, f"line {line.id!r}: flux.yaml names it {watched_lines[line.id]!r}")
