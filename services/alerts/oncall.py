"""Who is called (D32–D34): names of a wave → roles and scopes → persons of the roster, at that instant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from schemas.alerts import EscalationRow
from schemas.words import Channel
from services.alerts.draft import Draft

DEPUTIES: Final = "suppleants"
"""Group: deputy of each role of wave 1 without a positive answer."""
EVERY_POLE: Final = "tous_directeurs_pole"
"""Group: the director of every pôle, hit or not."""
_POLE_DIRECTOR: Final = "directeur_pole"


@dataclass(frozen=True, slots=True)
class Post:
    """A role in a scope (a pôle, a site, or the whole territory), and who holds it now."""

    role: str
    scope: str | None
    holder: str | None
    deputy: str | None


def posts(draft: Draft, names: Iterable[str], ladder: EscalationRow) -> Iterator[Post]:
    """The posts that the names of a wave mean for the incidents of a ladder. A role that nobody ever holds comes with no holder.

    A role of pôles or sites means those that the incidents concern; when they concern none, it means nobody.
    """
    groups = draft.territory.policy.groups if draft.territory.policy else {}
    for name in names:
        if name == DEPUTIES:
            yield from _deputies(draft, ladder)
        elif name == EVERY_POLE:
            yield from (_post(draft, _POLE_DIRECTOR, pole) for pole in draft.territory.all_poles)
        elif name in groups:
            yield from posts(draft, groups[name], ladder)
        else:
            yield from _of_role(draft, name, ladder)


def _post(draft: Draft, role: str, scope: str | None) -> Post:
    holder = draft.territory.holders.get((role, scope))
    return Post(role, scope, holder.holder if holder else None, holder.deputy if holder else None)


def _of_role(draft: Draft, role: str, ladder: EscalationRow) -> Iterator[Post]:
    holders = draft.territory.holders
    if (role, None) in holders:
        yield _post(draft, role, None)
        return
    scoped = [scope for (r, scope) in holders if r == role]
    if not scoped:
        yield Post(role, None, None, None)
        return
    concerned = _concerned(draft, ladder)
    yield from (_post(draft, role, scope) for scope in scoped if scope in concerned)


def _concerned(draft: Draft, ladder: EscalationRow) -> frozenset[str]:
    """Sites with an open cause in the ladder's incidents, their pôles, and the pôles whose plans the incidents trigger."""
    found: set[str] = set()
    plans = {p.id: p.pole for p in draft.territory.plans}
    for incident in draft.incidents(i for i in ladder.incidents if i in draft.state.incidents or i in draft.changed_incidents):
        hit = [m for m in incident.members if m in draft.state.site_causes] or incident.members
        found.update(hit)
        found.update(draft.territory.sites[m].pole for m in hit if m in draft.territory.sites)
    for trigger in draft.state.triggers.values():
        pole = plans.get(trigger.plan)
        if trigger.state == "held" and trigger.incident in ladder.incidents and pole is not None:
            found.add(pole)
    return frozenset(found)


def _deputies(draft: Draft, ladder: EscalationRow) -> Iterator[Post]:
    """The deputies of wave 1's posts whose holder has not said yes."""
    first = [w for w in ladder.waves if w.wave == 1]
    said_yes = {person for w in first for person in w.answered}
    for call in (draft.state.calls[n] for w in first for n in w.notifications):
        holder = draft.territory.holders.get((call.role, call.scope))
        if holder is not None and holder.deputy is not None and not {holder.holder, holder.deputy} & said_yes:
            yield Post(call.role, call.scope, holder.deputy, None)


def channels(draft: Draft, person: str, wanted: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """Channels to try, in order: the wave's, as far as verified; else any verified one; empty when the person cannot be reached."""
    verified = draft.territory.channels(person)
    return tuple(c for c in wanted if c in verified) or tuple(Channel(c) for c in verified)
