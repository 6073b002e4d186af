"""Build `/personnes`: accounts, tokens and their register, without names of people.

Rules D58 and D59.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from services.console.i18n import N_, Translator
from services.console.texts import words as w
from services.console.texts.names import TerritoryNames
from services.runtime.identity.accounts import LOCAL_ADMIN, AccessStore
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import (
    SIMULATED_REALMS,
    Account,
    Principal,
    Scope,
    Token,
    Trace,
)

TRACES_SHOWN: Final = 200
ACT_LABELS: Final = {
    "login.code": N_("connexion avec un code"),
    "login.password": N_("connexion avec un mot de passe"),
    "login.passkey": N_("connexion avec une clé d’accès"),
    "login.oidc": N_("connexion par le fournisseur d’identité"),
    "account.linked": N_("compte lié à une identité du fournisseur"),
    "account.link_allowed": N_("premier lien du compte autorisé"),
    "account.unlinked": N_("compte délié de l’identité du fournisseur"),
    "account.created": N_("compte ouvert"),
    "accounts.exported": N_("liste des comptes exportée"),
    "account.enabled": N_("compte rétabli"),
    "account.disabled": N_("compte fermé"),
    "code.issued": N_("code à usage unique remis"),
    "password.set": N_("mot de passe changé"),
    "second_factor.set": N_("second facteur changé"),
    "sessions.ended": N_("sessions fermées"),
    "passkey.added": N_("clé d’accès ajoutée"),
    "passkey.removed": N_("clé d’accès retirée"),
    "second_factor.added": N_("second facteur ajouté"),
    "refusal.replayed": N_("message refusé rejoué"),
    "refusal.corrected": N_("message refusé corrigé et rejoué"),
    "token.created": N_("jeton créé"),
    "token.revoked": N_("jeton révoqué"),
    "source.added": N_("source ajoutée"),
    "source.changed": N_("source changée"),
    "directory.read": N_("annuaire lu"),
    "directory.exported": N_("annuaire exporté"),
    "directory.imported": N_("annuaire importé"),
    "territory.confirmed": N_("données du territoire confirmées"),
}
PERSON_ROLES: Final = tuple(r for r in Role if r not in (Role.SOURCE, Role.POSTER))
"""Roles of a person's account or a wall."""


@dataclass(frozen=True, slots=True)
class AccountLine:
    login: str
    role: str
    duty: str
    scope: str
    enabled: bool
    factors: str
    """Login factors of this person, as text."""
    weak: bool
    """The account has only a password."""
    last: datetime | None
    own: bool


@dataclass(frozen=True, slots=True)
class TokenLine:
    id: str
    role: str
    label: str
    scope: str
    since: datetime
    until: datetime | None
    valid: bool
    own: bool
    """The token of this machine: revoking it would lock out its commands."""


@dataclass(frozen=True, slots=True)
class TraceLine:
    id: str
    at: datetime
    author: str
    act: str
    about: str


def list_accounts(
    access: AccessStore, me: Principal, names: TerritoryNames, _: Translator
) -> list[AccountLine]:
    """List accounts by login, closed ones last."""
    last: dict[str, int] = {}
    for trace in access.all(Trace):
        if trace.act.startswith("login."):
            last[trace.author] = max(trace.at, last.get(trace.author, 0))
    principals = {p.id: p for p in access.all(Principal)}
    lines = []
    for a in access.all(Account):
        p = principals.get(a.id)
        if not me.sees_account(p):
            continue
        at = last.get(a.id)
        lines.append(
            AccountLine(
                a.login,
                w.translate_code(w.ROLE, p.role.value, _) if p else "?",
                w.name_role(p.duty, None, names, _) if p and p.duty else "",
                _format_scope(p.scope, names, _) if p else "",
                p is not None and p.disabled_at is None,
                _format_factors(a, _),
                a.password_hash is not None and a.totp_secret is None and not a.printed,
                None if at is None else to_datetime(at),
                a.id == me.id,
            )
        )
    return sorted(lines, key=lambda line: (not line.enabled, line.login.casefold()))


def list_tokens(
    access: AccessStore, me: Principal, names: TerritoryNames, now: datetime, _: Translator
) -> list[TokenLine]:
    """List tokens, valid ones first, the newest first."""
    principals = {p.id: p for p in access.all(Principal)}
    at = int(now.timestamp() * 1000)
    lines = []
    for t in access.all(Token):
        p = principals.get(t.principal)
        if not me.sees_account(p):
            continue
        lines.append(
            TokenLine(
                t.id,
                w.translate_code(w.ROLE, p.role.value, _) if p else "?",
                p.label if p else "",
                _format_scope(p.scope, names, _) if p else "",
                to_datetime(t.created_at),
                to_datetime(t.expires_at) if t.expires_at else None,
                t.valid(at) and p is not None and p.disabled_at is None,
                t.principal == LOCAL_ADMIN,
            )
        )
    return sorted(lines, key=lambda line: (not line.valid, -line.since.timestamp()))


def list_traces(
    access: AccessStore, me: Principal, names: TerritoryNames, _: Translator
) -> list[TraceLine]:
    """List recorded acts, the newest first, at most `TRACES_SHOWN`.

    A reader with a limit of realms sees the acts of accounts within it.
    """
    principals = {p.id: p for p in access.all(Principal)}
    visible_traces = (t for t in access.all(Trace) if me.sees_account(principals.get(t.author)))
    logins = {a.id: a.login for a in access.all(Account)}
    newest = sorted(visible_traces, key=lambda t: t.id, reverse=True)[:TRACES_SHOWN]
    return [
        TraceLine(
            t.id,
            to_datetime(t.at),
            logins.get(t.author) or w.name_person(t.author, names, _),
            _(ACT_LABELS[t.act]) if t.act in ACT_LABELS else t.act,
            logins.get(t.about, t.about),
        )
        for t in newest
    ]


def list_roles(names: TerritoryNames, _: Translator) -> list[tuple[str, str]]:
    """List the roles of the organisation that an account may hold."""
    return sorted(
        ((id, w.name_role(id, None, names, _)) for id in names.roles), key=lambda pair: pair[1]
    )


def _format_factors(account: Account, _: Translator) -> str:
    parts: Sequence[str] = (
        _.plural("{n} clé d’accès", "{n} clés d’accès", len(account.passkeys))
        if account.passkeys
        else "",
        _("mot de passe") if account.password_hash else "",
        _("application") if account.totp_secret else "",
        _.plural("{n} code imprimé", "{n} codes imprimés", len(account.printed))
        if account.printed
        else "",
    )
    return ", ".join(filter(None, parts)) or _("code à usage unique")


def _format_scope(scope: Scope, names: TerritoryNames, _: Translator) -> str:
    parts = [
        *(names.site(s) for s in scope.sites),
        *(names.pole_short(p, _.lang) for p in scope.poles),
        *scope.types,
        *(realm for realm in scope.realms if not realm.endswith(SIMULATED_REALMS)),
    ]
    return ", ".join(parts[:4]) + (" …" if len(parts) > 4 else "")


def to_datetime(at: int) -> datetime:
    """Convert an instant in ms."""
    return datetime.fromtimestamp(at / 1000, UTC)
