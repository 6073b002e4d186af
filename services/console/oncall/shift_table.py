"""The on-call schedule as a table: one row per shift, also for shifts that nobody holds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from schemas.oncall import Place
from services.console.exports.tables import Column
from services.console.i18n import N_, Translator
from services.console.oncall.resources import OnCallPost, ShiftSpan
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames

PLACE_LABELS = {Place.HOLDER: N_("titulaire"), Place.DEPUTY: N_("suppléant")}


@dataclass(frozen=True, slots=True)
class ShiftRow:
    """One shift of a post."""

    post: OnCallPost
    place: Place
    span: ShiftSpan


def list_shift_rows(posts: Iterable[OnCallPost]) -> Iterator[ShiftRow]:
    """Yield the shifts of each post: those of its holder, then those of its deputy."""
    for post in posts:
        for place, spans in ((Place.HOLDER, post.holder), (Place.DEPUTY, post.deputy)):
            for span in spans:
                yield ShiftRow(post, place, span)


def list_shift_columns(names: TerritoryNames, _: Translator) -> Sequence[Column[ShiftRow]]:
    """Return the columns of the table of shifts; people are codes and roles, never names."""
    return (
        Column(N_("Rôle"), lambda row: row.post.role_name),
        Column(N_("Périmètre"), lambda row: row.post.scope_name),
        Column(N_("Place"), lambda row: _(PLACE_LABELS[row.place])),
        Column(N_("Du (Paris)"), lambda row: row.span.start),
        Column(N_("Au (Paris)"), lambda row: row.span.end),
        Column(N_("Code de la personne"), lambda row: row.span.persons),
        Column(
            N_("Fonction habituelle"),
            lambda row: [w.name_person(person, names, _) for person in row.span.persons],
        ),
        Column(N_("Origine"), lambda row: w.translate_code(w.STAND, row.span.by, _)),
        Column(N_("Non pourvu"), lambda row: not row.span.persons),
    )
