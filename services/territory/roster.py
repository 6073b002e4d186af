"""Read holders of roles, rotations, the reachability of people, and the partners to call.

Numbers of partners are no reference data: the log would keep them for ever. They are in the directory.
"""

from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

from schemas import reference as ref
from schemas.oncall import Reach, Rotation
from schemas.ranks import SITE_MANAGER_ROLE
from schemas.words import Channel
from services.territory.policy import TO_FILL_IN
from services.territory.source import SourceFile, parse_clock

NUMBER_COLUMNS: Final = ("telephone", "telephone_secours", "courriel")
"""Columns that hold a mark or nothing; the directory has the numbers."""


def _read_rotations(f: SourceFile) -> list[tuple[int, Rotation]]:
    """Read the rotations; the file may be absent."""
    rotations: list[tuple[int, Rotation]] = []
    for n, r in f.rows() if f.exists() else ():
        try:
            hours = (parse_clock(r["from"]), parse_clock(r["to"])) if r["from"] or r["to"] else None
            hand_off = parse_clock(r["hand_off"])
        except ValueError:
            f.fault(n, "hand_off, from and to are local times such as 08:00")
            continue
        rotation = f.make(
            Rotation,
            n,
            role=r["role"],
            scope=r["scope"] or None,
            place=r["place"] or "holder",
            persons=[p for p in r["persons"].split("|") if p],
            every_days=r["every_days"] or 7,
            hand_off_min=hand_off,
            since=r["since"],
            until=r["until"] or None,
            hours=hours,
        )
        if rotation is not None:
            rotations.append((n, rotation))
    return rotations


def _read_reach(f: SourceFile, n: int, row: dict[str, str]) -> tuple[Reach, ...] | None:
    """Read proofs and quiet hours of a person's channels.

    Forms: `sms=2026-11-02|…` and `app=21:00-07:00|…`. Returns None if the row has neither.
    """
    proof_dates, quiet = (
        dict(p.split("=", 1) for p in (row.get(c) or "").split("|") if "=" in p)
        for c in ("verified_on", "quiet")
    )
    if not proof_dates and not quiet:
        return None
    points: list[Reach | None] = []
    for channel in filter(None, row["channels"].split("|")):
        try:
            at = (
                datetime.fromisoformat(proof_dates[channel]).replace(
                    tzinfo=ZoneInfo("Europe/Paris")
                )
                if channel in proof_dates
                else None
            )
            window = (
                tuple(parse_clock(t) for t in quiet[channel].split("-"))
                if channel in quiet
                else None
            )
        except ValueError:
            f.fault(
                n, f"{row['person']!r}: verified_on is sms=2026-11-02|…, quiet is app=21:00-07:00|…"
            )
            return None
        points.append(
            f.make(
                Reach,
                n,
                channel=channel,
                verified_at=int(at.timestamp() * 1000) if at else None,
                quiet=window,
            )
        )
    return tuple(p for p in points if p is not None)


def _read_holders(
    f: SourceFile, roles: Iterable[str], scopes: set[str]
) -> list[tuple[int, ref.Holder]]:
    holders: list[tuple[int, ref.Holder]] = []
    for n, r in f.rows():
        holder = f.make(
            ref.Holder,
            n,
            role=r["role"],
            scope=r["scope"] or None,
            holder=r["holder"] or None,
            deputy=r["deputy"] or None,
        )
        if holder is not None:
            _check_role(f, n, holder.role, holder.scope, roles, scopes)
            holders.append((n, holder))
    return holders


def _check_role(
    f: SourceFile, n: int, role: str, scope: str | None, roles: Iterable[str], scopes: set[str]
) -> None:
    if role not in roles:
        f.fault(n, f"role {role!r} is not in escalade.yaml")
    if scope and scope not in scopes:
        f.fault(n, f"scope {scope!r} is neither a site nor a pôle")


def _read_reachability(
    f: SourceFile,
) -> tuple[dict[str, tuple[str, ...]], dict[str, tuple[Reach, ...]]]:
    """Read person → channels, and person → channels with proofs or quiet hours where given."""
    channels: dict[str, tuple[str, ...]] = {}
    proofs: dict[str, tuple[Reach, ...]] = {}
    for n, r in f.rows():
        channels[r["person"]] = tuple(c for c in r["channels"].split("|") if c)
        for c in channels[r["person"]]:
            if c not in set(Channel):
                f.fault(n, f"{r['person']!r}: {c!r} is not a channel")
        if (points := _read_reach(f, n, r)) is not None:
            proofs[r["person"]] = points
    return channels, proofs


def read_roster(
    source: Callable[[str], SourceFile],
    policy: ref.Escalation,
    sites: list[ref.Site],
    poles: set[str],
) -> ref.Roster:
    f, reach, turns = source("roster.csv"), source("reachability.csv"), source("rotations.csv")
    scopes = {s.id for s in sites} | poles
    holders, rotations = _read_holders(f, policy.roles, scopes), _read_rotations(turns)
    for n, rotation in rotations:
        _check_role(turns, n, rotation.role, rotation.scope, policy.roles, scopes)
    called_names = {who for waves in policy.ladders.values() for w in waves for who in w.who}
    called_names = {r for who in called_names for r in policy.groups.get(who, (who,))} - set(
        policy.groups
    )
    staffed_roles = {(h.role, h.scope) for _, h in holders if h.holder} | {
        (r.role, r.scope) for _, r in rotations
    }
    for role in sorted(called_names & set(policy.roles) - {role for role, _ in staffed_roles}):
        f.fault(0, f"role {role!r} is called by a ladder and nobody holds it")
    for site in sites:
        if (SITE_MANAGER_ROLE, site.id) not in staffed_roles:
            f.fault(0, f"site {site.id!r} has no {SITE_MANAGER_ROLE}")
    channels, proofs = _read_reachability(reach)
    lines: dict[str, tuple[SourceFile, int]] = {}
    for n, h in holders:
        for person in filter(None, (h.holder, h.deputy)):
            lines.setdefault(person, (f, n))
    for n, rotation in rotations:
        for person in rotation.persons:
            lines.setdefault(person, (turns, n))
    for person, (where, n) in lines.items():
        if not channels.get(person):
            where.fault(n, f"{person!r} has no channel in {reach.name}")
    return ref.Roster(
        holders=tuple(h for _, h in holders),
        channels=channels,
        rotations=tuple(r for _, r in rotations),
        reach=proofs,
    )


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
