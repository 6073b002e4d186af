"""Lay out the cascade of a loss: resource, activities, pôles, plans. Rule D130. Pure.

Two layouts show the same: columns for a wide screen, a list with a trunk for a phone. Lengths are
SVG attributes. The table of the page says the same in words.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from services.console.dependencies.losses import ROLE_SIGN
from services.console.dependencies.network import LostResource, ResourceKind
from services.console.i18n import N_, Translator
from services.console.texts import words as w
from services.console.texts import world
from services.console.texts.names import TerritoryNames

MOST_DRAWN: Final = 24
"""Activities or roles that are drawn; the table names all."""
WIDE: Final = 960
NARROW: Final = 360
CHARACTER: Final = 6.6
"""Mean width of a character of 13 px."""
PADDING: Final = 10
_BOX_H, _GAP, _HEAD_H = 46, 10, 30
_COLUMNS: Final = ((0, 190), (236, 300), (582, 170), (798, 162))
_INDENT: Final = 28
_LINE_H: Final = 18
KIND_TITLES: Final = {
    ResourceKind.SYSTEM: N_("Systèmes"),
    ResourceKind.SUPPLIER: N_("Fournisseurs et partenaires"),
    ResourceKind.KITCHEN: N_("Cuisines"),
    ResourceKind.LINE: N_("Lignes de transport"),
    ResourceKind.SITE_KIND: N_("Natures de sites"),
    ResourceKind.SITE: N_("Sites"),
    ResourceKind.PERSON: N_("Personnes d’astreinte"),
}
NOT_MODELLED_TITLES: Final = {"transport_line": N_("lignes de transport")}


def name_resource(one: LostResource, names: TerritoryNames, _: Translator) -> str:
    """Name a resource; people are named by role. Rule D58."""
    match one.kind:
        case ResourceKind.SITE:
            return names.site(one.id)
        case ResourceKind.SITE_KIND:
            kind = w.translate_code(world.KIND_MANY, one.id, _).replace("_", " ")
            return _("tous les sites : {kind}", kind=kind)
        case ResourceKind.PERSON:
            return w.name_person(one.id, names, _)
        case ResourceKind.LINE:
            return names.line(one.id)
        case ResourceKind.SYSTEM:
            return world.name_system(one.id, names, _)
        case _:
            return names.suppliers.get(one.id) or world.name_dependency(one.id, _)


def name_failure(failure: str, names: TerritoryNames, _: Translator) -> str:
    """Name an activity, a commune without a line, or a role in its scope."""
    if failure in names.activities:
        return names.activity(failure, _.lang)
    if failure in names.communes:
        return _("{commune} sans ligne", commune=names.commune(failure))
    role, sign, scope = failure.partition(ROLE_SIGN)
    return w.name_role(role, scope if sign else None, names, _)


@dataclass(frozen=True, slots=True)
class CascadeNode:
    """One thing that fails or acts: an activity, a role, a pôle or a plan."""

    id: str
    texts: tuple[str, ...]
    tone: str
    """`lost`, `bare`, `carried`, `weak`, `pole` or `plan`."""
    causes: tuple[str, ...] = ()
    """Nodes of earlier columns that lead to it."""


@dataclass(frozen=True, slots=True)
class Cascade:
    """Nodes of a loss, by column."""

    lost: tuple[CascadeNode, ...]
    failures: tuple[CascadeNode, ...]
    poles: tuple[CascadeNode, ...]
    plans: tuple[CascadeNode, ...]
    titles: tuple[str, str, str, str]
    more: str = ""
    """Words for the failures that are not drawn; empty if all are."""

    @property
    def columns(self) -> tuple[tuple[CascadeNode, ...], ...]:
        return self.lost, self.failures, self.poles, self.plans


@dataclass(frozen=True, slots=True)
class DrawnText:
    x: float
    y: float
    text: str


@dataclass(frozen=True, slots=True)
class DrawnBox:
    x: float
    y: float
    width: float
    height: float
    tone: str
    lines: tuple[DrawnText, ...]


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes, connections as paths, and free texts of one layout."""

    width: float
    height: float
    boxes: tuple[DrawnBox, ...]
    paths: tuple[str, ...]
    texts: tuple[DrawnText, ...] = field(default=())


def shorten(text: str, width: float) -> str:
    """Shorten a text to the width of its box."""
    most = max(4, int((width - 2 * PADDING) / CHARACTER))
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"


def _draw_box(node: CascadeNode, x: float, y: float, width: float) -> DrawnBox:
    lines = tuple(
        DrawnText(x + PADDING, y + 19 + n * _LINE_H, shorten(text, width))
        for n, text in enumerate(node.texts)
    )
    height = max(_BOX_H, 12 + _LINE_H * len(node.texts))
    return DrawnBox(x, y, width, height, node.tone, lines)


def draw_columns(cascade: Cascade) -> Drawing:
    """Draw four columns, joined by curves from left to right."""
    places: dict[str, DrawnBox] = {}
    heights = []
    for nodes, (x, width) in zip(cascade.columns, _COLUMNS, strict=True):
        y: float = _HEAD_H
        for node in nodes:
            places[node.id] = _draw_box(node, x, y, width)
            y += places[node.id].height + _GAP
        heights.append(y)
    texts = [
        DrawnText(x, 16, title)
        for (x, _width), title, nodes in zip(_COLUMNS, cascade.titles, cascade.columns, strict=True)
        if nodes
    ]
    height = max(heights)
    if cascade.more:
        texts.append(DrawnText(_COLUMNS[1][0] + PADDING, heights[1] + 12, cascade.more))
        height = max(height, heights[1] + 24)
    paths = [
        _draw_curve(places[cause], places[node.id])
        for nodes in cascade.columns
        for node in nodes
        for cause in node.causes
        if cause in places
    ]
    return Drawing(WIDE, height, tuple(places.values()), tuple(paths), tuple(texts))


def _draw_curve(start: DrawnBox, end: DrawnBox) -> str:
    x1, y1 = start.x + start.width, start.y + start.height / 2
    x2, y2 = end.x, end.y + end.height / 2
    bend = (x2 - x1) / 2
    return f"M{x1:.0f} {y1:.0f}C{x1 + bend:.0f} {y1:.0f} {x2 - bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}"


def draw_list(cascade: Cascade) -> Drawing:
    """Draw one column for a phone: the resource, and below it all that follows, on a trunk."""
    boxes: list[DrawnBox] = []
    paths: list[str] = []
    texts: list[DrawnText] = []
    y: float = 0
    for node in cascade.lost:
        boxes.append(_draw_box(node, 0, y, NARROW))
        y += boxes[-1].height + _GAP
    trunk = y - _GAP
    following: Sequence[tuple[str, Iterable[CascadeNode]]] = (
        (cascade.titles[1], _add_poles(cascade)),
        (cascade.titles[3], cascade.plans),
    )
    end = trunk
    for title, nodes in following:
        node_list = list(nodes)
        if not node_list:
            continue
        texts.append(DrawnText(_INDENT, y + 14, title))
        y += 24
        for node in node_list:
            boxes.append(_draw_box(node, _INDENT, y, NARROW - _INDENT))
            middle = y + boxes[-1].height / 2
            paths.append(f"M12 {middle:.0f}H{_INDENT}")
            end = middle
            y += boxes[-1].height + _GAP
        if cascade.more and title == cascade.titles[1]:
            texts.append(DrawnText(_INDENT, y + 12, cascade.more))
            y += 24
    if end > trunk:
        paths.append(f"M12 {trunk:.0f}V{end:.0f}")
    return Drawing(NARROW, max(y, _BOX_H), tuple(boxes), tuple(paths), tuple(texts))


def _add_poles(cascade: Cascade) -> list[CascadeNode]:
    """Return the failures with their pôles as a last line."""
    poles_by_cause: dict[str, list[str]] = {}
    for pole in cascade.poles:
        for cause in pole.causes:
            poles_by_cause.setdefault(cause, []).append(pole.texts[0])
    pole_of = {cause: ", ".join(names) for cause, names in poles_by_cause.items()}
    return [
        CascadeNode(
            node.id,
            (*node.texts, pole_of[node.id]) if node.id in pole_of else node.texts,
            node.tone,
        )
        for node in cascade.failures
    ]
