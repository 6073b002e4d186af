"""Read `contacts.csv`: the partners that the cell calls, by function. Rule D89.

Numbers are no reference data: the log would keep them for ever. They are in the directory.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from schemas import reference as ref
from services.territory.policy import TO_FILL_IN
from services.territory.source import SourceFile

NUMBER_COLUMNS: Final = ("telephone", "telephone_secours", "courriel")
"""Columns that hold a mark or nothing; the directory has the numbers."""


def read_contacts(
    f: SourceFile, roles: Collection[str], plans: Collection[str]
) -> tuple[ref.PartnerContact, ...] | None:
    """Read the partners; a territory without the file has none."""
    if not f.exists():
        return None
    contact_by_id: dict[str, ref.PartnerContact] = {}
    for n, row in f.rows():
        contact = _read_contact(f, n, row)
        if contact is None:
            continue
        if contact.id in contact_by_id:
            f.fault(n, f"contact {contact.id!r} stands twice")
        if contact.caller not in roles:
            f.fault(n, f"contact {contact.id!r}: no such role {contact.caller!r}")
        for plan in contact.plans:
            if plan not in plans:
                f.fault(n, f"contact {contact.id!r}: no such plan {plan!r}")
        contact_by_id[contact.id] = contact
    return tuple(contact_by_id.values())


def _read_contact(f: SourceFile, n: int, row: dict[str, str]) -> ref.PartnerContact | None:
    for column in NUMBER_COLUMNS:
        if _drop_mark(row.get(column)) is not None:
            f.fault(
                n,
                f"{column}: a number is no reference data; import it into the directory as "
                f"{ref.build_contact_token(row['id'])}",
            )
    return f.make(
        ref.PartnerContact,
        n,
        id=row["id"],
        domain=row["domaine"],
        function=row["fonction"],
        organisation=row["organisme"],
        caller=row["qui_appelle"],
        when=row["quand_appeler"],
        say=row["quoi_dire"],
        ask=row["quoi_demander"],
        withhold=_drop_mark(row.get("ne_pas_transmettre")),
        plans=tuple((row.get("plans") or "").split()),
        hours=_drop_mark(row.get("horaires")),
        fallback=_drop_mark(row.get("canal_sans_si")),
        verified_on=_drop_mark(row.get("verifie_le")),
    )


def _drop_mark(text: str | None) -> str | None:
    """Return a text, or None for a dash or a mark that waits to be filled in."""
    clean_text = (text or "").strip()
    return (
        None
        if not clean_text or clean_text == "—" or clean_text.upper() == TO_FILL_IN
        else clean_text
    )
