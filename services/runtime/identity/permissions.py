"""Roles of accounts with their names, permissions, and the one table that joins them.

A permission only opens a command. The decider itself refuses a rank that may not decide a plan or
level (`schemas.ranks`). Rules D49 and D59.

The problem for a missing permission names the refused role and the roles that have it.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from services.runtime.http.problems import Language, ProblemError

BilingualText = Mapping[Language, str]
ACCOUNT_OF_REALM: Final[BilingualText] = {
    "fr": "un compte qui voit ce territoire ou cet exercice",
    "en": "an account that sees this territory or exercise",
}
PERSONAL_ACCOUNT: Final[BilingualText] = {
    "fr": "un compte personnel",
    "en": "an account of one’s own",
}


class Role(StrEnum):
    ADMIN = "admin"
    COORDINATOR = "coordinator"
    CELL = "cell"
    DIRECTOR = "director"
    SITE_MANAGER = "site_manager"
    TECHNICIAN = "technician"
    ELECTED = "elected"
    LIAISON = "liaison"
    OBSERVER = "observer"
    KIOSK = "kiosk"
    SOURCE = "source"
    POSTER = "poster"
    AUDITOR = "auditor"


class Permission(StrEnum):
    REPORT_POST = "report.post"
    """Post reports, for the sites and types of the scope."""
    REPORT_POSTER = "report.poster"
    """Post unconfirmed reports about the one site of a poster."""
    REPORT_RELAY = "report.relay"
    """Report as another kind of source: a line typed for a caller, a message passed on."""
    REPORT_STATUS = "report.status"
    """See the outcome of a report."""
    REPORT_RAW = "report.raw"
    """Read free text, contact and original bytes of a report; every access is logged (D59)."""
    REPORT_VERIFY = "report.verify"
    """Confirm, deny and link reports (D6, D8)."""
    PICTURE_READ = "picture.read"
    """Read overview, incidents, sites, activities, plans, reassignments, map and live stream."""
    LOG_READ = "log.read"
    """Read logbook, notifications and escalations, by role and token."""
    INCIDENT_ACKNOWLEDGE = "incident.acknowledge"
    INCIDENT_DECIDE = "incident.decide"
    """Escalate, resolve, reopen, merge, split."""
    LEVEL_SET = "level.set"
    PLAN_DECIDE = "plan.decide"
    CARD_WORK = "card.work"
    TASK_WORK = "task.work"
    NOTE_WRITE = "note.write"
    STATEMENT_WRITE = "statement.write"
    """Draft, submit and publish statements, answer questions; validation needs its role (D91)."""
    REASSIGNMENT_DECIDE = "reassignment.decide"
    REASSIGNMENT_ANSWER = "reassignment.answer"
    RESOURCE_REQUEST = "resource.request"
    """Request resources and cancel requests (D88), for the sites of the scope."""
    RESOURCE_PROMISE = "resource.promise"
    """Offer, commit, move and count resources, from the stocks of the scope."""
    SITREP_WRITE = "sitrep.write"
    EVIDENCE_EXPORT = "evidence.export"
    """Export the evidence bundle of an incident: whole log records, logged (D56, D59)."""
    MAINTENANCE_WRITE = "maintenance.write"
    """Plan, change and end maintenance windows (D64); a source for its own alerts only."""
    ROTA_WRITE = "rota.write"
    """Change the on-call schedule: overrides, swaps, calendars."""
    SENDING_HOLD = "sending.hold"
    HEADCOUNT_START = "headcount.start"
    """Start and close headcounts (D79), for the sites of the scope."""
    REFERENCE_DECIDE = "reference.decide"
    """Propose a change of the reference data, and decide about another person's (D63)."""
    REALM_RUN = "realm.run"
    """Open, step, pause and close simulated realms, and play into them with `recorded_at`."""
    EXERCISE_OBSERVE = "exercise.observe"
    """Note how the players of an exercise react (D94)."""
    DIRECTORY_READ = "directory.read"
    """Read names and addresses of people; every access is logged (D59)."""
    DIRECTORY_WRITE = "directory.write"
    DEAD_LETTERS = "dead_letters"
    """Read and replay dead letters."""
    ACCESS_ADMIN = "access.admin"
    """Manage tokens, accounts and sources."""
    AUDIT_READ = "audit.read"


_P = Permission
READ_PERMISSIONS: Final = frozenset(
    {
        _P.REPORT_STATUS,
        _P.REPORT_RAW,
        _P.PICTURE_READ,
        _P.LOG_READ,
        _P.DIRECTORY_READ,
        _P.AUDIT_READ,
        _P.EVIDENCE_EXPORT,
    }
)
"""Permissions that change nothing, the only ones in a view of the past."""
_BASIC_READ: Final = frozenset({_P.PICTURE_READ, _P.REPORT_STATUS})
_FIELD: Final = _BASIC_READ | {
    _P.REPORT_POST,
    _P.INCIDENT_ACKNOWLEDGE,
    _P.TASK_WORK,
    _P.CARD_WORK,
    _P.REASSIGNMENT_ANSWER,
    _P.RESOURCE_PROMISE,
}
_CELL: Final = _FIELD | {
    _P.REPORT_RELAY,
    _P.REPORT_RAW,
    _P.REPORT_VERIFY,
    _P.LOG_READ,
    _P.NOTE_WRITE,
    _P.SITREP_WRITE,
    _P.EVIDENCE_EXPORT,
    _P.INCIDENT_DECIDE,
    _P.DEAD_LETTERS,
    _P.DIRECTORY_READ,
    _P.MAINTENANCE_WRITE,
    _P.ROTA_WRITE,
    _P.HEADCOUNT_START,
    _P.STATEMENT_WRITE,
    _P.RESOURCE_REQUEST,
}
_DECISIONS: Final = frozenset({_P.LEVEL_SET, _P.PLAN_DECIDE, _P.REASSIGNMENT_DECIDE})

PERMISSIONS_BY_ROLE: Final[dict[Role, frozenset[Permission]]] = {
    Role.ADMIN: frozenset(Permission),
    Role.COORDINATOR: _CELL
    | _DECISIONS
    | {_P.SENDING_HOLD, _P.REALM_RUN, _P.EXERCISE_OBSERVE, _P.DIRECTORY_WRITE, _P.REFERENCE_DECIDE},
    Role.CELL: _CELL,
    Role.DIRECTOR: _FIELD
    | _DECISIONS
    | {
        _P.LOG_READ,
        _P.NOTE_WRITE,
        _P.INCIDENT_DECIDE,
        _P.ROTA_WRITE,
        _P.EVIDENCE_EXPORT,
        _P.REFERENCE_DECIDE,
        _P.HEADCOUNT_START,
        _P.STATEMENT_WRITE,
        _P.RESOURCE_REQUEST,
    },
    Role.SITE_MANAGER: _FIELD | {_P.PLAN_DECIDE, _P.HEADCOUNT_START, _P.RESOURCE_REQUEST},
    Role.TECHNICIAN: _FIELD,
    Role.ELECTED: _BASIC_READ | _DECISIONS | {_P.LOG_READ, _P.INCIDENT_ACKNOWLEDGE},
    Role.LIAISON: _BASIC_READ | {_P.REPORT_POST, _P.REPORT_RELAY, _P.LOG_READ, _P.NOTE_WRITE},
    Role.OBSERVER: _BASIC_READ | {_P.LOG_READ, _P.EXERCISE_OBSERVE},
    Role.KIOSK: frozenset({_P.PICTURE_READ}),
    Role.SOURCE: frozenset({_P.REPORT_POST, _P.REPORT_STATUS, _P.MAINTENANCE_WRITE}),
    Role.POSTER: frozenset({_P.REPORT_POSTER}),
    Role.AUDITOR: _BASIC_READ | {_P.LOG_READ, _P.EVIDENCE_EXPORT, _P.AUDIT_READ, _P.DEAD_LETTERS},
}
"""Role → permissions.

Observers only read (D59), and note exercises (D94). A kiosk only shows the wall. A source only
reports, and sets maintenance windows for itself.
"""


ROLE_NAMES: Final[Mapping[Role, BilingualText]] = {
    Role.ADMIN: {"fr": "Administrateur", "en": "Administrator"},
    Role.COORDINATOR: {"fr": "Coordonnateur PCA", "en": "Continuity coordinator"},
    Role.CELL: {"fr": "Cellule de crise", "en": "Crisis cell"},
    Role.DIRECTOR: {"fr": "Directeur de pôle", "en": "Director of a pôle"},
    Role.SITE_MANAGER: {"fr": "Responsable de site", "en": "Site manager"},
    Role.TECHNICIAN: {"fr": "Astreinte technique", "en": "Technician on call"},
    Role.ELECTED: {"fr": "Élu", "en": "Elected"},
    Role.LIAISON: {"fr": "Officier de liaison", "en": "Liaison officer"},
    Role.OBSERVER: {"fr": "Observateur", "en": "Observer"},
    Role.KIOSK: {"fr": "Mur d’images", "en": "Wall display"},
    Role.SOURCE: {"fr": "Source automatique", "en": "Automatic source"},
    Role.POSTER: {"fr": "Affiche d’un site", "en": "Poster of a site"},
    Role.AUDITOR: {"fr": "Auditeur", "en": "Auditor"},
}


def build_forbidden(role: Role, right: Permission | BilingualText) -> ProblemError:
    """Return a 403 problem.

    `right` is a permission, described by its roles, or a text about the account that is needed.
    """
    return ProblemError(
        "forbidden",
        role=ROLE_NAMES[role],
        able=list_permitted_roles(right) if isinstance(right, Permission) else right,
    )


def list_permitted_roles(permission: Permission) -> BilingualText:
    """List the roles with a permission: `Administrateur, Coordonnateur PCA ou Cellule de crise`.

    The order is that of `Role`.
    """
    roles = [role for role in Role if permission in PERMISSIONS_BY_ROLE[role]]
    return {
        "fr": _join_alternatives([ROLE_NAMES[r]["fr"] for r in roles], "ou"),
        "en": _join_alternatives([ROLE_NAMES[r]["en"] for r in roles], "or"),
    }


def _join_alternatives(names: list[str], word: str) -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
