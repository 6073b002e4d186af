"""Serve the rest of the Alertmanager API v2: alerts, silences and status.

`POST /api/v2/alerts` is in `services.intake.integrations.alertmanager_api`. Silences are Vigie's
maintenance windows, and alerts are its leases. The console serves both in the caller's name. So
each silence is visible, audited and ended there, and a source sees and silences its own alerts
only.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import aiohttp
import orjson
import structlog

from schemas.matchers import Matcher, PatternInvalid, check_pattern, matches_whole
from services.intake.http.exchange import BodyReader, Receive, Scope, Send, send_json, send_response
from services.intake.http.proxy import ConsoleProxy
from services.intake.integrations.alertmanager import NAME, stringify_values
from services.intake.integrations.alertmanager_api import (
    RESOLVE_TIMEOUT_S,
    compute_fingerprint,
    read_labels,
)
from services.intake.integrations.dispatcher import TRANSIENT_STATUSES
from services.intake.integrations.request import (
    IntegrationRequest,
    list_keys,
    parse_time,
    read_request,
)
from services.intake.reports.acceptance import RawBody, build_text_id
from services.runtime.http.problems import Problem, ProblemError, build_bilingual, build_fault
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission, Role, build_forbidden
from services.runtime.identity.principals import Principal
from services.runtime.kafka.clients import format_time
from services.runtime.process.health import Check
from services.runtime.process.settings import find_version
from services.runtime.secrets.vault import VaultTexts

RECEIVER: Final = "vigie"
_SILENCE: Final = re.compile(r"/api/v2/silence/([0-9A-Za-z-]{1,64})")
_PATHS: Final = (
    "/api/v2/status",
    "/api/v2/receivers",
    "/api/v2/alerts/groups",
    "/api/v2/silences",
    "/-/healthy",
    "/-/ready",
)
_STATE_BY_WINDOW: Final = {"active": "active", "planned": "pending", "over": "expired"}
_CONFIG: Final = f"global:\n  resolve_timeout: {RESOLVE_TIMEOUT_S // 60}m\nroute:\n  receiver: {RECEIVER}\nreceivers:\n- name: {RECEIVER}\ntemplates: []\n"
JSON: Final = "application/json"
_NO_REPLAY: Final = build_bilingual(
    "Une mise en silence refusée ne peut pas être renvoyée : prévoyez des travaux à la page "
    "Travaux.",
    "A refused silence is not offered again: declare the works on the page Works.",
)
MAX_ITEMS: Final = 10_000
"""Maximum number of alerts or silences in one answer."""
_WAIT_HEADERS: Final = {"Prefer": "wait=8"}
log = structlog.get_logger(__name__)


class AlertmanagerError(Exception):
    """The request is invalid. The answer is a 400 with this text, as from Alertmanager.

    The stored refusal holds only `field` and `code`.
    """

    def __init__(self, text: str, field: str = "body", code: str = "invalid") -> None:
        super().__init__(text)
        self.problem = ProblemError(
            "invalid", faults=(build_fault(field, code, text, text),)
        ).problem


class AlertmanagerApi:
    """Alertmanager API of one front."""

    def __init__(
        self,
        access: AccessStore,
        proxy: ConsoleProxy,
        reader: BodyReader,
        texts: VaultTexts,
        live_realm: str,
        ready: Iterable[Check],
        keep: Callable[[Principal, Problem, RawBody, str], None],
    ) -> None:
        self._access = access
        self._proxy = proxy
        self._reader = reader
        self._texts = texts
        self._live_realm = live_realm
        self._ready = tuple(ready)
        self._keep = keep
        self._since = datetime.now(UTC)

    def serves(self, path: str, method: str) -> bool:
        """Return whether this class answers a request. Posted alerts belong to an integration."""
        return (
            path in _PATHS
            or _SILENCE.fullmatch(path) is not None
            or (path == "/api/v2/alerts" and method in ("GET", "HEAD"))
        )

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request. Raises ProblemError, ClientGone."""
        path = scope["path"]
        if path.startswith("/-/"):
            await self._probe(path, send)
            return
        body = await self._reader.read(scope, receive)
        try:
            request = read_request(scope, body)
            principal, key = await self._identify(request)
            try:
                document = await self._answer(request, principal, key, _parse_filters(scope))
            except AlertmanagerError as error:
                self._keep_refused_silence(request, principal, error.problem)
                await send_json(send, 400, str(error))
                return
            except ProblemError as error:
                self._keep_refused_silence(request, principal, error.problem)
                raise
        finally:
            self._reader.room.give_back(len(body))
        await send_json(send, 200, document)

    def _keep_refused_silence(
        self, request: IntegrationRequest, principal: Principal, problem: Problem
    ) -> None:
        """Keep a refused silence: its author would otherwise believe that nobody is called."""
        if (request.method, request.path) == (
            "POST",
            "/api/v2/silences",
        ) and problem.status not in TRANSIENT_STATUSES:
            raw = RawBody(request.body, request.headers.get("content-type", JSON), NAME)
            self._keep(principal, problem, raw, request.address)

    async def _probe(self, path: str, send: Send) -> None:
        faults = (
            []
            if path == "/-/healthy"
            else [fault for check in self._ready if (fault := await _run_check(check)) is not None]
        )
        text = b"OK" if not faults else "; ".join(faults).encode()
        await send_response(
            send,
            503 if faults else 200,
            text,
            [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")],
        )

    async def _identify(self, request: IntegrationRequest) -> tuple[Principal, str]:
        """Return the caller and its key. Raises ProblemError `unauthenticated`, `conflict`."""
        if request.sender is not None:
            # The console is asked in the caller's name, and a replay has no key.
            raise ProblemError("conflict", what=_NO_REPLAY)
        for key in list_keys(request):
            principal = self._access.bearer(key) or await self._access.authenticate_bearer(key)
            if principal is not None:
                return principal, key
        raise ProblemError("unauthenticated")

    async def _answer(
        self,
        request: IntegrationRequest,
        principal: Principal,
        key: str,
        filters: Sequence[Matcher],
    ) -> Any:
        one = _SILENCE.fullmatch(request.path)
        match request.method, request.path:
            case "GET" | "HEAD", "/api/v2/status":
                return self._status()
            case "GET" | "HEAD", "/api/v2/receivers":
                return [{"name": RECEIVER}]
            case "GET" | "HEAD", "/api/v2/alerts":
                return await self._alerts(request, principal, key, filters)
            case "GET" | "HEAD", "/api/v2/alerts/groups":
                alerts = await self._alerts(request, principal, key, filters)
                return (
                    [{"labels": {}, "receiver": {"name": RECEIVER}, "alerts": alerts}]
                    if alerts
                    else []
                )
            case "GET" | "HEAD", "/api/v2/silences":
                silences = [
                    _describe_silence(w, principal)
                    for w in await self._all(principal, key, "maintenance")
                ]
                return [s for s in silences if _has_matching_values(s, filters)]
            case "POST", "/api/v2/silences":
                return await self._silence(request, principal, key)
            case "GET" | "HEAD", _ if one is not None:
                return _describe_silence(
                    await self._ask(principal, key, "GET", f"maintenance/{one[1]}"), principal
                )
            case "DELETE", _ if one is not None:
                await self._ask(principal, key, "POST", f"maintenance/{one[1]}/end", {})
                return {}
            case _:
                methods = (
                    "GET, DELETE"
                    if one is not None
                    else "GET, POST"
                    if request.path == "/api/v2/silences"
                    else "GET"
                )
                raise ProblemError("method_not_allowed", allowed=methods)

    async def _ask(
        self, principal: Principal, key: str, method: str, path: str, body: Any = None, **query: str
    ) -> Any:
        """Request a document of the console's API. Raises ProblemError, Wrong."""
        where = f"/api/v1/{path}?{urlencode({'realm': self._realm(principal), **query})}"
        try:
            status, document = await self._proxy.ask(
                method, where, key, None if body is None else orjson.dumps(body), _WAIT_HEADERS
            )
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            raise ProblemError(
                "console_away" if method == "GET" else "outcome_unknown", retry_after_s=2
            ) from None
        if status in (400, 409, 412, 422):
            raise AlertmanagerError(_get_sentence(document), "window", _get_code(document))
        if status == 404:
            raise ProblemError("not_found")
        if status == 403:
            raise build_forbidden(principal.role, Permission.MAINTENANCE_WRITE)
        # The command is on the log but not decided yet: the caller asks again.
        if status == 202:
            raise ProblemError("outcome_unknown", retry_after_s=2)
        if status != 200:
            raise ProblemError("console_away", retry_after_s=2)
        return document

    def _realm(self, principal: Principal) -> str:
        return principal.own_realm(self._live_realm)

    async def _all(self, principal: Principal, key: str, path: str, **query: str) -> list[Any]:
        items: list[Any] = []
        cursor: dict[str, str] = {}
        while True:
            page = await self._ask(principal, key, "GET", path, limit="1000", **query, **cursor)
            items += page["items"]
            if page["next"] is None or len(items) >= MAX_ITEMS:
                return items
            cursor = {"cursor": page["next"]}

    async def _alerts(
        self,
        request: IntegrationRequest,
        principal: Principal,
        key: str,
        filters: Sequence[Matcher],
    ) -> list[Any]:
        state_filters = {
            name: request.query.get(name, "true").lower() != "false"
            for name in ("active", "silenced", "inhibited", "unprocessed")
        }
        if (receiver := request.query.get("receiver")) and not _is_own_receiver(receiver):
            return []
        leases = await self._all(principal, key, "leases", state="held")
        matching_leases = [x for x in leases if all(m.matches(x["labels"]) for m in filters)]
        notes = (
            self._notes(matching_leases)
            if principal.role is Role.SOURCE or principal.may(Permission.REPORT_RAW)
            else {}
        )
        if notes and principal.role is not Role.SOURCE:
            log.info(
                "report.text_read",
                reports=len(notes),
                realm=self._realm(principal),
                reader=principal.id,
            )
        alerts = [_describe_alert(x, notes.get(x["id"], {})) for x in matching_leases]
        return [a for a in alerts if _is_wanted(a, state_filters)]

    def _notes(self, leases: Sequence[Any]) -> dict[str, Any]:
        """Return the original alert of each lease, which holds its annotations.

        Annotations are free text and stay in the message's bytes. Only the source that wrote them,
        and accounts that may read reports' text, see them. An erased alert gives none.
        """
        items = self._texts.get_many([build_text_id(x["id"]) for x in leases])
        bodies: dict[bytes, dict[str, Any]] = {}
        alert_by_lease: dict[str, Any] = {}
        for lease in leases:
            item = items.get(build_text_id(lease["id"]))
            raw = item.raw if item is not None and item.raw else b"[]"
            if (alerts := bodies.get(raw)) is None:
                # Alerts of one request share the same bytes.
                alerts = bodies[raw] = _index_alerts(raw)
            alert_by_lease[lease["id"]] = alerts.get(compute_fingerprint(lease["labels"]), {})
        return alert_by_lease

    async def _silence(
        self, request: IntegrationRequest, principal: Principal, key: str
    ) -> dict[str, str]:
        """Create a maintenance window from a silence, or change the one with its id.

        Raises ProblemError, Wrong.
        """
        silence = request.json_object()
        starts, ends = parse_time(silence.get("startsAt")), parse_time(silence.get("endsAt"))
        now = datetime.now(UTC)
        if ends is None or ends <= now:
            raise AlertmanagerError("end time can't be in the past", "endsAt", "past")
        body = {
            "matchers": _parse_matchers(silence),
            "starts_at": format_time(_convert_to_milliseconds(starts or now)),
            "ends_at": format_time(_convert_to_milliseconds(ends)),
            "reason": _require_text(silence, "comment"),
            "created_by": _require_text(silence, "createdBy"),
        }
        id = silence.get("id")
        if id:
            window = await self._ask(
                principal, key, "GET", f"maintenance/{quote(str(id), safe='')}"
            )
            if window["state"] != "over":
                body |= {
                    name: window["covers"][name]
                    for name in ("sites", "kinds", "poles", "types", "sources")
                }
                await self._ask(principal, key, "POST", f"maintenance/{window['id']}/change", body)
                return {"silenceID": window["id"]}
        answer = await self._ask(principal, key, "POST", "maintenance", body)
        return {"silenceID": answer["result"]["window"]}

    def _status(self) -> dict[str, Any]:
        """Return the status. Vigie is no node of a gossip cluster."""
        info = {
            "version": find_version(),
            "revision": "",
            "branch": "",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        }
        return {
            "cluster": {"status": "disabled", "name": RECEIVER, "peers": []},
            "versionInfo": info,
            "config": {"original": _CONFIG},
            "uptime": self._since.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }


async def _run_check(check: Check) -> str | None:
    outcome = check()
    return outcome if outcome is None or isinstance(outcome, str) else await outcome


def _is_own_receiver(receiver: str) -> bool:
    """Return whether a receiver pattern matches ours. Raises Wrong."""
    try:
        check_pattern(receiver)
    except PatternInvalid as error:
        raise AlertmanagerError(f"failed to parse receiver param: {error}") from None
    return matches_whole(receiver, RECEIVER)


def _parse_filters(scope: Scope) -> list[Matcher]:
    """Parse the `filter` parameters. Raises Wrong."""
    pairs = parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)
    try:
        return [Matcher.parse(value) for name, value in pairs if name == "filter"]
    except ValueError as error:
        raise AlertmanagerError(f"bad matcher format: {error}") from None


def _index_alerts(raw: bytes) -> dict[str, Any]:
    """Return alerts of a body by fingerprint; none if it is no list."""
    try:
        alerts = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return {}
    return (
        {compute_fingerprint(read_labels(a)): a for a in reversed(alerts) if isinstance(a, dict)}
        if isinstance(alerts, list)
        else {}
    )


def _describe_alert(lease: Any, original_alert: Any) -> dict[str, Any]:
    silence_ids = lease["quiet_by"] if lease["quiet"] == "maintenance" else []
    inhibition_ids = lease["quiet_by"] if lease["quiet"] == "inhibited" else []
    return {
        "labels": lease["labels"],
        "annotations": stringify_values(original_alert.get("annotations")),
        "generatorURL": str(original_alert.get("generatorURL") or ""),
        "startsAt": lease["began_at"],
        "updatedAt": lease["renewed_at"],
        "endsAt": lease["until"],
        "fingerprint": compute_fingerprint(lease["labels"]),
        "receivers": [{"name": RECEIVER}],
        "status": {
            "state": "suppressed" if silence_ids or inhibition_ids else "active",
            "silencedBy": silence_ids,
            "inhibitedBy": inhibition_ids,
            "mutedBy": [],
        },
    }


def _is_wanted(alert: dict[str, Any], state_filters: dict[str, bool]) -> bool:
    status = alert["status"]
    if status["silencedBy"] and not state_filters["silenced"]:
        return False
    if status["inhibitedBy"] and not state_filters["inhibited"]:
        return False
    return state_filters["active"] or status["state"] != "active"


def _describe_silence(window: Any, principal: Principal) -> dict[str, Any]:
    """Show a window as a silence. Sites, kinds and other covered items appear as matchers."""
    covers = window["covers"]
    sources = (
        []
        if principal.role is Role.SOURCE and covers["sources"] == [principal.id]
        else covers["sources"]
    )
    covered_items = (
        ("site", covers["sites"]),
        ("kind", covers["kinds"]),
        ("pole", covers["poles"]),
        ("type", covers["types"]),
        ("source", sources),
    )
    matchers = [
        {"name": m["name"], "value": m["value"], "isRegex": m["regex"], "isEqual": m["equal"]}
        for m in covers["matchers"]
    ] + [
        {
            "name": name,
            "value": "|".join(map(re.escape, values)) if len(values) > 1 else values[0],
            "isRegex": len(values) > 1,
            "isEqual": True,
        }
        for name, values in covered_items
        if values
    ]
    return {
        "id": window["id"],
        "status": {"state": _STATE_BY_WINDOW[window["state"]]},
        "updatedAt": window["changed_at"],
        "startsAt": window["begins_at"] or window["starts_at"],
        "endsAt": window["over_at"] or window["until_at"] or window["ends_at"],
        "createdBy": window["created_by"] or window["author"],
        "comment": window["reason"] or "",
        "matchers": matchers,
    }


def _has_matching_values(silence: dict[str, Any], filters: Sequence[Matcher]) -> bool:
    """Filter silences by the values of their matchers, as Alertmanager does."""
    values = {m["name"]: m["value"] for m in silence["matchers"]}
    return all(f.matches(values) for f in filters)


def _parse_matchers(silence: dict[str, Any]) -> list[dict[str, Any]]:
    """Parse the matchers of a silence. Raises Wrong."""
    matcher_list = silence.get("matchers")
    if not isinstance(matcher_list, list) or not matcher_list:
        raise AlertmanagerError("at least one matcher required", "matchers", "missing")
    matchers: list[Matcher] = []
    for m in matcher_list:
        if (
            not isinstance(m, dict)
            or not isinstance(m.get("name"), str)
            or not isinstance(m.get("value"), str)
        ):
            raise AlertmanagerError("a matcher has a name and a value", "matchers")
        try:
            matchers.append(
                Matcher(
                    name=m["name"],
                    value=m["value"],
                    regex=m.get("isRegex") is True,
                    equal=m.get("isEqual") is not False,
                )
            )
            matchers[-1].check()
        except ValueError as error:
            raise AlertmanagerError(
                f"invalid label matcher: {m['name']}: {error}", "matchers"
            ) from None
    if all(m.takes_nothing for m in matchers):
        raise AlertmanagerError(
            "at least one matcher must not match the empty string", "matchers", "matches_empty"
        )
    return [m.model_dump() for m in matchers]


def _require_text(silence: dict[str, Any], name: str) -> str:
    """Return a required text. Raises Wrong."""
    value = silence.get(name)
    if not isinstance(value, str) or not value.strip():
        raise AlertmanagerError(f"{name} information missing", name, "missing")
    return value.strip()[:200] if name == "createdBy" else value.strip()[:4000]


def _convert_to_milliseconds(at: datetime) -> int:
    return int(at.timestamp() * 1000)


def _get_sentence(document: Any) -> str:
    if isinstance(document, dict):
        return str(document.get("detail") or document.get("title") or "refused")
    return "refused"


def _get_code(document: Any) -> str:
    """Return the code of a problem document."""
    return str(document.get("code") or "invalid") if isinstance(document, dict) else "invalid"
