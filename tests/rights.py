"""Role × route: who may come in where, written by hand. The tests of both doors take every route of the application and look for its row here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from typing import Any, Final

from services.runtime.identity.permissions import Role


class Open(Enum):
    """Rows that ask for no role."""

    TO_ALL = "strangers too, and it tells nothing of the picture"
    LINK = "the secret is in the address or the body: a made-up one opens nothing, whoever sends it"
    KEY = "the key of a source of this very dialect; any other is refused"
    TOKEN = "the token of the health ports; no role stands for it"


class Limit(Enum):
    """How far a decision reaches: what an account limited to some sites, pôles or realms may still do."""

    TERRITORY = "the whole territory's: refused to every account that is limited to sites or pôles"
    PLACE = "about a place, an incident or an activity: refused when it lies beyond the account's sites and pôles"
    OWN = "about the account itself, or about no place: sites and pôles set no limit"


Who = frozenset[Role] | Open


def _roles(names: str) -> frozenset[Role]:
    return frozenset(Role(name) for name in names.split())


ALL: Final = frozenset(Role)
PICTURE: Final = _roles(
    "admin coordinator cell director site_manager technician elected liaison observer kiosk auditor"
)
STATUS: Final = PICTURE - {Role.KIOSK} | {Role.SOURCE}
LOG: Final = _roles("admin coordinator cell director elected liaison observer auditor")
REPORT: Final = _roles("admin coordinator cell director site_manager technician liaison source")
RELAY: Final = _roles("admin coordinator cell liaison")
CELL: Final = _roles("admin coordinator cell")
FIELD: Final = _roles("admin coordinator cell director site_manager technician")
ACKNOWLEDGE: Final = FIELD | {Role.ELECTED}
DECIDE_INCIDENT: Final = _roles("admin coordinator cell director")
LEVEL: Final = _roles("admin coordinator director elected")
PLAN: Final = LEVEL | {Role.SITE_MANAGER}
NOTE: Final = _roles("admin coordinator cell director liaison")
WORKS: Final = CELL | {Role.SOURCE}
DUTY: Final = _roles("admin coordinator cell director")
EVIDENCE: Final = _roles("admin coordinator cell director auditor")
COUNT: Final = _roles("admin coordinator cell director site_manager")
PILOT: Final = _roles("admin coordinator")
AUDIT: Final = _roles("admin auditor")
ADMIN: Final = _roles("admin")
VERSIONS: Final = _roles("admin coordinator director")
LETTERS: Final = _roles("admin coordinator cell auditor")

CONSOLE: Final[dict[str, Who]] = {
    # pages
    "GET /": PICTURE,
    "GET /incidents/{id}": PICTURE,
    "GET /activites": PICTURE,
    "GET /mur": PICTURE,
    "GET /sites/{id}": PICTURE,
    "GET /sites": PICTURE,
    "GET /recherche": PICTURE,
    "GET /signalements/{id}": PICTURE,
    "GET /actions": PICTURE,
    "GET /plans": PICTURE,
    "GET /prevoyance": PICTURE,
    "GET /releve": PICTURE,
    "GET /travaux": PICTURE,
    "GET /realms": PICTURE,
    "GET /signaler": REPORT - {Role.SOURCE},
    "GET /astreintes": LOG,
    "GET /main-courante": LOG,
    "GET /retex": LOG,
    "GET /sitrep": LOG,
    "GET /sitrep/{number}": LOG,
    "GET /sources": LOG,
    "GET /flux": LOG,
    "GET /appels": LOG,
    "GET /donnees": LOG,
    "GET /appels/{id}/reponses": CELL,
    "GET /reaffectation": PICTURE,
    "GET /appareil": ACKNOWLEDGE,
    "GET /mes-sites": PICTURE,
    "GET /exercice": PICTURE,
    "GET /annuaire": LOG,
    "GET /personnes": AUDIT,
    "GET /compte": PICTURE - {Role.KIOSK},
    "POST /connexion/cle/options": Open.TO_ALL,
    "POST /connexion/cle": Open.LINK,
    "POST /compte/cles/options": ALL,
    "POST /compte/cles": ALL,
    "POST /compte/cles/{id}/retirer": ALL,
    "POST /compte/sessions/fermer": ALL,
    "GET /compte/second-facteur": ALL - {Role.KIOSK},
    "POST /compte/second-facteur": ALL - {Role.KIOSK},
    "GET /aide": Open.TO_ALL,
    "GET /glossaire": Open.TO_ALL,
    "GET /guide": Open.TO_ALL,
    "GET /guide/{name}": Open.TO_ALL,
    "GET /guide/images/{name}": Open.TO_ALL,
    "GET /accessibilite": Open.TO_ALL,
    "GET /connexion": Open.TO_ALL,
    "GET /connexion/annuaire": Open.LINK,
    "GET /connexion/annuaire/retour": Open.LINK,
    "POST /connexion": Open.LINK,
    "POST /deconnexion": Open.TO_ALL,
    "GET /a/{token}": Open.LINK,
    "POST /a/{token}": Open.LINK,
    "GET /static/{version}/{path:path}": Open.TO_ALL,
    "GET /sw.js": Open.TO_ALL,
    "GET /manifest.webmanifest": Open.TO_ALL,
    "GET /favicon.ico": Open.TO_ALL,
    # the picture
    "GET /api/v1/overview": PICTURE,
    "GET /api/v1/directory": LOG,
    "GET /api/v1/cell/staffing": LOG,
    "POST /api/v1/cell/staffing": ACKNOWLEDGE,
    "GET /api/v1/directory/people/{person}": CELL,
    "GET /api/v1/changes": PICTURE,
    "GET /api/v1/stream": PICTURE,
    "GET /api/v1/incidents": PICTURE,
    "GET /api/v1/incidents/{id}": PICTURE,
    "GET /api/v1/incidents/{id}/explain": PICTURE,
    "GET /api/v1/incidents/{id}/cap": PICTURE,
    "GET /api/v1/sites": PICTURE,
    "GET /api/v1/sites/{id}": PICTURE,
    "GET /api/v1/poles": PICTURE,
    "GET /api/v1/communes": PICTURE,
    "GET /api/v1/levels": PICTURE,
    "GET /api/v1/level": PICTURE,
    "GET /api/v1/flags": PICTURE,
    "GET /api/v1/activities": PICTURE,
    "GET /api/v1/activities/{id}": PICTURE,
    "GET /api/v1/strategies": PICTURE,
    "GET /api/v1/alarms": PICTURE,
    "GET /api/v1/contingency": PICTURE,
    "GET /api/v1/plan-conflicts": PICTURE,
    "GET /api/v1/triggers": PICTURE,
    "GET /api/v1/plans": PICTURE,
    "GET /api/v1/plans/{id}": PICTURE,
    "GET /api/v1/tasks": PICTURE,
    "GET /api/v1/attention": PICTURE,
    "GET /api/v1/sending/hold": PICTURE,
    "GET /api/v1/realms": PICTURE,
    "GET /api/v1/realms/{name}": PICTURE,
    "GET /api/v1/reference": PICTURE,
    "GET /api/v1/reference/{section}": PICTURE,
    "GET /api/v1/reassignments": PICTURE,
    "GET /api/v1/reassignments/lines": PICTURE,
    "GET /api/v1/reassignments/{proposal}": PICTURE,
    "GET /api/v1/reports/{id}": STATUS,
    "GET /api/v1/commands/{id}": STATUS,
    "GET /api/v1/maintenance": STATUS,
    "GET /api/v1/maintenance/{id}": STATUS,
    "GET /api/v1/leases": STATUS,
    # the log, and what comes of it
    "GET /api/v1/reference/changes": LOG,
    "GET /api/v1/reference/changes/{id}": LOG,
    "GET /api/v1/incidents/{id}/timeline": LOG,
    "GET /api/v1/log": LOG,
    "GET /api/v1/feeds": LOG,
    "GET /api/v1/notifications": LOG,
    "GET /api/v1/notifications/{id}": LOG,
    "GET /api/v1/escalations": LOG,
    "GET /api/v1/escalations/{id}": LOG,
    "GET /api/v1/oncall": LOG,
    "GET /api/v1/oncall/duties": LOG,
    "GET /api/v1/drills": LOG,
    "GET /api/v1/readiness": LOG,
    "GET /api/v1/oncall/feeds": LOG,
    "GET /api/v1/callouts": LOG,
    "GET /api/v1/callouts/{id}": LOG,
    "GET /api/v1/headcounts": LOG,
    "GET /api/v1/headcounts/{id}": LOG,
    "GET /api/v1/sitreps": LOG,
    "GET /api/v1/sitreps/draft": LOG,
    "GET /api/v1/sitreps/{number}": LOG,
    "GET /api/v1/retex": LOG,
    "GET /api/v1/improvements": LOG,
    "GET /api/v1/incidents/{id}/export": EVIDENCE,
    "GET /api/v1/headcounts/{id}/answers": CELL,
    "GET /api/v1/people": PILOT,
    # decisions
    "POST /api/v1/reassignments/compute": LEVEL,
    "POST /api/v1/reassignments/{proposal}/approve": LEVEL,
    "POST /api/v1/reassignments/{proposal}/decline": LEVEL,
    "POST /api/v1/reassignments/{proposal}/announce": PILOT,
    "POST /api/v1/reassignments/{line}/accept": FIELD,
    "POST /api/v1/reassignments/{line}/arrive": FIELD,
    "POST /api/v1/reassignments/{line}/release": FIELD,
    "GET /api/v1/me/push": ACKNOWLEDGE,
    "POST /api/v1/me/push": ACKNOWLEDGE,
    "POST /api/v1/me/push/end": ACKNOWLEDGE,
    "POST /api/v1/incidents/{id}/acknowledge": ACKNOWLEDGE,
    "POST /api/v1/notifications/{id}/acknowledge": ACKNOWLEDGE,
    "POST /api/v1/notifications/{id}/decline": ACKNOWLEDGE,
    "POST /api/v1/incidents/{id}/escalate": DECIDE_INCIDENT,
    "POST /api/v1/incidents/{id}/reapply-policy": DECIDE_INCIDENT,
    "POST /api/v1/incidents/{id}/resolve": DECIDE_INCIDENT,
    "POST /api/v1/incidents/{id}/reopen": DECIDE_INCIDENT,
    "POST /api/v1/incidents/{id}/merge": DECIDE_INCIDENT,
    "POST /api/v1/incidents/{id}/split": DECIDE_INCIDENT,
    "POST /api/v1/incidents/{id}/notes": NOTE,
    "POST /api/v1/log": NOTE,
    "POST /api/v1/level": LEVEL,
    "POST /api/v1/activities/{id}/declare": PLAN,
    "POST /api/v1/activities/{id}/data-age": PLAN,
    "POST /api/v1/activities/{id}/strategies": PLAN,
    "POST /api/v1/strategies/{id:path}/end": PLAN,
    "POST /api/v1/alarms/{id}/arbitrate": PLAN,
    "POST /api/v1/plans/{id}/activate": PLAN,
    "POST /api/v1/plans/{id}/refuse": PLAN,
    "POST /api/v1/plans/{id}/postpone": PLAN,
    "POST /api/v1/plans/{id}/stand-down": PLAN,
    "POST /api/v1/plans/{id}/retex-closed": PLAN,
    "POST /api/v1/plans/{id}/boxes/{box}": PLAN,
    "POST /api/v1/plans/{id}/cards/{card}/start": FIELD,
    "POST /api/v1/plans/{id}/cards/{card}/done": FIELD,
    "POST /api/v1/plans/{id}/cards/{card}/not-applicable": FIELD,
    "POST /api/v1/tasks/{id}/take": FIELD,
    "POST /api/v1/tasks/{id}/done": FIELD,
    "GET /api/v1/actions": PICTURE,
    "GET /api/v1/actions/{id}": PICTURE,
    "POST /api/v1/actions": DECIDE_INCIDENT,
    "POST /api/v1/actions/{id}:accept": FIELD,
    "POST /api/v1/actions/{id}:decline": FIELD,
    "POST /api/v1/actions/{id}:complete": FIELD,
    "POST /api/v1/actions/{id}:cancel": DECIDE_INCIDENT,
    "POST /api/v1/reports/{id}/confirm": CELL,
    "POST /api/v1/reports/{id}/confirm/preview": CELL,
    "POST /api/v1/reports/{id}/read": CELL,
    "POST /api/v1/incidents/{id}/read": CELL,
    "GET /api/v1/sites/{id}/instructions": PICTURE,
    "POST /api/v1/sites/{id}/instructions": DECIDE_INCIDENT,
    "GET /api/v1/presence": CELL,
    "POST /api/v1/presence": CELL,
    "POST /api/v1/reports/{id}/erase": PILOT,
    "POST /api/v1/log/{id}/erase": PILOT,
    "GET /api/v1/erasures": PILOT,
    "POST /api/v1/reports/{id}/deny": CELL,
    "POST /api/v1/reports/{id}/link": CELL,
    "POST /api/v1/maintenance": WORKS,
    "POST /api/v1/maintenance/{id}/change": WORKS,
    "POST /api/v1/maintenance/{id}/end": WORKS,
    "POST /api/v1/oncall/overrides": DUTY,
    "POST /api/v1/reference/changes": VERSIONS,
    "POST /api/v1/reference/changes/{id}/approve": VERSIONS,
    "POST /api/v1/reference/changes/{id}/decline": VERSIONS,
    "POST /api/v1/reference/changes/{id}/withdraw": VERSIONS,
    "POST /api/v1/oncall/swaps": DUTY,
    "POST /api/v1/oncall/duties/{id}/withdraw": DUTY,
    "POST /api/v1/oncall/import": DUTY,
    "POST /api/v1/drills": DUTY,
    "POST /api/v1/sitreps": CELL,
    "POST /api/v1/improvements": CELL,
    "POST /api/v1/improvements/{id}/done": CELL,
    "POST /api/v1/improvements/{id}/drop": CELL,
    "POST /api/v1/notifications/{id}/replay": PILOT,
    "POST /api/v1/sending/hold": PILOT,
    "POST /api/v1/sending/release": PILOT,
    "POST /api/v1/callouts": PILOT,
    "POST /api/v1/callouts/{id}/start": PILOT,
    "POST /api/v1/callouts/{id}/stop": PILOT,
    "POST /api/v1/headcounts": COUNT,
    "POST /api/v1/headcounts/{id}/close": COUNT,
    "POST /api/v1/realms": PILOT,
    "POST /api/v1/realms/{name}/step": PILOT,
    "POST /api/v1/realms/{name}/pause": PILOT,
    "POST /api/v1/realms/{name}/resume": PILOT,
    "POST /api/v1/realms/{name}/close": PILOT,
    # no account
    "GET /calendriers/{token}.ics": Open.LINK,
    "POST /r/{token}": Open.LINK,
    "GET /livez": Open.TO_ALL,
    "GET /readyz": Open.TO_ALL,
    "GET /metrics": Open.TOKEN,
    "GET /openapi.json": Open.TO_ALL,
    "GET /asyncapi.json": Open.TO_ALL,
    "GET /measures.json": Open.TO_ALL,
    "GET /json/{name}": Open.TO_ALL,
}
"""Every route of the console."""

FRONT: Final[dict[str, Who]] = {
    "POST /api/v1/reports": REPORT,
    "POST /api/v1/reports:batch": REPORT,
    "POST /api/v1/attachments": REPORT,
    "POST /api/v1/reports:line": RELAY,
    "GET /api/v1/reports/{id}/raw": CELL,
    "GET /api/v1/attachments/{id}": CELL,
    "POST /api/v1/cap": REPORT,
    "GET /api/v1/whoami": ALL,
    "GET /api/v1/sources": LOG,
    "GET /api/v1/intake/strangers": ADMIN,
    "GET /api/v1/tokens": ADMIN,
    "POST /api/v1/tokens": ADMIN,
    "DELETE /api/v1/tokens/{id}": ADMIN,
    "GET /api/v1/users": ADMIN,
    "POST /api/v1/users": ADMIN,
    "POST /api/v1/users/{login}/code": ADMIN,
    "POST /api/v1/users/{login}/password": ADMIN,
    "POST /api/v1/users/{login}/second-factor": ADMIN,
    "POST /api/v1/users/{login}/sign-out": ADMIN,
    "POST /api/v1/users/{login}/unlink": ADMIN,
    "POST /api/v1/users/{login}/link": ADMIN,
    "POST /api/v1/users/{login}/enable": ADMIN,
    "POST /api/v1/users/{login}/disable": ADMIN,
    "POST /api/v1/sources": ADMIN,
    "PATCH /api/v1/sources/{name}": ADMIN,
    "POST /api/v1/sources/{name}/enable": ADMIN,
    "POST /api/v1/sources/{name}/disable": ADMIN,
    "GET /api/v1/refused": LETTERS,
    "GET /api/v1/refused/{id}": LETTERS,
    "POST /api/v1/refused/{id}/replay": CELL,
    # machines
    "POST /v2/enqueue": Open.KEY,
    "POST /v2/change/enqueue": Open.KEY,
    "POST /webhooks/alertmanager": Open.KEY,
    "POST /v2/alerts": Open.KEY,
    "POST /v2/alerts/{alias}/close": Open.KEY,
    "POST /v2/alerts/{alias}/acknowledge": Open.KEY,
    "POST /v2/heartbeats/{name}/ping": Open.KEY,
    "GET /v2/heartbeats/{name}/ping": Open.KEY,
    "POST /api/v2/generic/incoming": Open.KEY,
    "POST /api/v2/grafana/incoming": Open.KEY,
    "POST /api/v2/prometheusalertmanager/incoming": Open.KEY,
    "POST /webhooks/apprise": Open.KEY,
    "POST /api/v1/events": Open.KEY,
    "POST /webhooks/generic/{source}": Open.KEY,
    "POST /webhooks/sms": Open.KEY,
    "POST /webhooks/poster": Open.KEY,
    "POST /api/v2/alerts": Open.KEY,
    # an Alertmanager's own paths: the console decides in the caller's name what they may see
    "GET /api/v2/status": ALL,
    "GET /api/v2/receivers": ALL,
    "GET /api/v2/alerts": STATUS,
    "GET /api/v2/alerts/groups": STATUS,
    "GET /api/v2/silences": STATUS,
    "POST /api/v2/silences": WORKS,
    "GET /api/v2/silence/{id}": STATUS,
    "DELETE /api/v2/silence/{id}": WORKS,
    "GET /livez": Open.TO_ALL,
    "GET /readyz": Open.TO_ALL,
    "GET /metrics": Open.TO_ALL,
    "GET /-/healthy": Open.TO_ALL,
    "GET /-/ready": Open.TO_ALL,
}
"""Every route that the front answers by itself."""

_T, _P, _O = Limit.TERRITORY, Limit.PLACE, Limit.OWN
LIMITS: Final[dict[str, Limit]] = {
    # console
    "POST /compte/cles/options": _O,
    "POST /compte/cles": _O,
    "POST /compte/cles/{id}/retirer": _O,
    "POST /compte/sessions/fermer": _O,
    "POST /compte/second-facteur": _O,
    "POST /api/v1/reassignments/compute": _T,
    "POST /api/v1/reassignments/{proposal}/approve": _P,
    "POST /api/v1/reassignments/{proposal}/decline": _P,
    "POST /api/v1/reassignments/{proposal}/announce": _P,
    "POST /api/v1/reassignments/{line}/accept": _P,
    "POST /api/v1/reassignments/{line}/arrive": _P,
    "POST /api/v1/reassignments/{line}/release": _P,
    "POST /api/v1/me/push": _O,
    "POST /api/v1/me/push/end": _O,
    "POST /api/v1/incidents/{id}/acknowledge": _P,
    "POST /api/v1/notifications/{id}/acknowledge": _O,
    "POST /api/v1/notifications/{id}/decline": _O,
    "POST /api/v1/incidents/{id}/escalate": _P,
    "POST /api/v1/incidents/{id}/reapply-policy": _P,
    "POST /api/v1/incidents/{id}/resolve": _P,
    "POST /api/v1/incidents/{id}/reopen": _P,
    "POST /api/v1/incidents/{id}/merge": _P,
    "POST /api/v1/incidents/{id}/split": _P,
    "POST /api/v1/incidents/{id}/notes": _P,
    "POST /api/v1/log": _P,
    "POST /api/v1/level": _T,
    "POST /api/v1/activities/{id}/declare": _P,
    "POST /api/v1/activities/{id}/data-age": _P,
    "POST /api/v1/activities/{id}/strategies": _P,
    "POST /api/v1/strategies/{id:path}/end": _P,
    "POST /api/v1/alarms/{id}/arbitrate": _P,
    "POST /api/v1/plans/{id}/activate": _P,
    "POST /api/v1/plans/{id}/refuse": _P,
    "POST /api/v1/plans/{id}/postpone": _P,
    "POST /api/v1/plans/{id}/stand-down": _P,
    "POST /api/v1/plans/{id}/retex-closed": _P,
    "POST /api/v1/plans/{id}/boxes/{box}": _P,
    "POST /api/v1/plans/{id}/cards/{card}/start": _P,
    "POST /api/v1/plans/{id}/cards/{card}/done": _P,
    "POST /api/v1/plans/{id}/cards/{card}/not-applicable": _P,
    "POST /api/v1/tasks/{id}/take": _P,
    "POST /api/v1/tasks/{id}/done": _P,
    "POST /api/v1/actions": _P,
    "POST /api/v1/actions/{id}:accept": _P,
    "POST /api/v1/actions/{id}:decline": _P,
    "POST /api/v1/actions/{id}:complete": _P,
    "POST /api/v1/actions/{id}:cancel": _P,
    "POST /api/v1/reports/{id}/confirm": _P,
    "POST /api/v1/reports/{id}/confirm/preview": _P,
    "POST /api/v1/reports/{id}/read": _P,
    "POST /api/v1/incidents/{id}/read": _P,
    "POST /api/v1/sites/{id}/instructions": _P,
    "POST /api/v1/presence": _O,
    "POST /api/v1/cell/staffing": _O,
    "POST /api/v1/reports/{id}/erase": _P,
    "POST /api/v1/log/{id}/erase": _T,
    "POST /api/v1/reports/{id}/deny": _P,
    "POST /api/v1/reports/{id}/link": _P,
    "POST /api/v1/maintenance": _P,
    "POST /api/v1/maintenance/{id}/change": _P,
    "POST /api/v1/maintenance/{id}/end": _P,
    "POST /api/v1/oncall/overrides": _P,
    "POST /api/v1/reference/changes": _T,
    "POST /api/v1/reference/changes/{id}/approve": _T,
    "POST /api/v1/reference/changes/{id}/decline": _T,
    "POST /api/v1/reference/changes/{id}/withdraw": _T,
    "POST /api/v1/oncall/swaps": _P,
    "POST /api/v1/oncall/duties/{id}/withdraw": _P,
    "POST /api/v1/oncall/import": _P,
    "POST /api/v1/drills": _T,
    "POST /api/v1/sitreps": _T,
    "POST /api/v1/improvements": _P,
    "POST /api/v1/improvements/{id}/done": _P,
    "POST /api/v1/improvements/{id}/drop": _P,
    "POST /api/v1/notifications/{id}/replay": _P,
    "POST /api/v1/sending/hold": _T,
    "POST /api/v1/sending/release": _T,
    "POST /api/v1/callouts": _P,
    "POST /api/v1/callouts/{id}/start": _P,
    "POST /api/v1/callouts/{id}/stop": _P,
    "POST /api/v1/headcounts": _P,
    "POST /api/v1/headcounts/{id}/close": _P,
    "POST /api/v1/realms": _T,
    "POST /api/v1/realms/{name}/step": _T,
    "POST /api/v1/realms/{name}/pause": _T,
    "POST /api/v1/realms/{name}/resume": _T,
    "POST /api/v1/realms/{name}/close": _T,
    # front
    "POST /api/v1/reports": _P,
    "POST /api/v1/reports:batch": _P,
    "POST /api/v1/reports:line": _P,
    "POST /api/v1/cap": _P,
    "POST /api/v1/attachments": _O,
    "POST /api/v1/tokens": _T,
    "DELETE /api/v1/tokens/{id}": _T,
    "POST /api/v1/users": _T,
    "POST /api/v1/users/{login}/code": _T,
    "POST /api/v1/users/{login}/password": _T,
    "POST /api/v1/users/{login}/second-factor": _T,
    "POST /api/v1/users/{login}/sign-out": _T,
    "POST /api/v1/users/{login}/unlink": _T,
    "POST /api/v1/users/{login}/link": _T,
    "POST /api/v1/users/{login}/enable": _T,
    "POST /api/v1/users/{login}/disable": _T,
    "POST /api/v1/sources": _T,
    "PATCH /api/v1/sources/{name}": _T,
    "POST /api/v1/sources/{name}/enable": _T,
    "POST /api/v1/sources/{name}/disable": _T,
    "POST /api/v1/refused/{id}/replay": _T,
    "POST /api/v2/silences": _P,
    "DELETE /api/v2/silence/{id}": _P,
}
"""Every route of both doors that changes something and asks for a role: how far it reaches."""


def undecided(table: dict[str, Who]) -> list[str]:
    """Return a sentence for each route of the table that changes something and stands in `LIMITS` without a row."""
    changing = [
        route
        for route, who in table.items()
        if not route.startswith("GET ") and not isinstance(who, Open)
    ]
    return [
        f"{route} has no decision about scope: say in tests/rights.py, LIMITS, how far it reaches (TERRITORY, PLACE or OWN)"
        for route in changing
        if route not in LIMITS
    ]


def routes_of(routes: Iterable[Any]) -> Iterator[str]:
    """`METHOD /path` of every route of a FastAPI application."""
    for route in routes:
        yield from (f"{method} {route.path}" for method in sorted(route.methods - {"HEAD"}))
