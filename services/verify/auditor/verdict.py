"""Turn breaches into a verdict and report it outside Vigie: a heartbeat, or an alarm.

A breach counts when two judgements in a row see it, because topics are not read at one moment.

Both are HTTP requests to foreign services: a dead-man's switch that alarms without heartbeats, and
a service that calls people (ntfy, a chat hook, an SMS gateway). Neither uses Vigie's own delivery.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final, Literal

import httpx2 as httpx
import structlog
from pydantic import SecretStr, field_validator

from services.runtime.process.settings import Settings, check_url
from services.runtime.secrets.signing import SigningKeyInvalid
from services.verify.auditor.open_items import Breach

VerdictState = Literal["reading", "green", "red"]
LAWS: dict[str, str] = {
    "order": "each input is applied once, in order, none skipped",
    "applied": "every accepted input is applied",
    "forward": (
        "every routed fact reaches its destination once, in order, and none comes from nowhere"
    ),
    "notification": "every planned notification is known to delivery and comes to rest",
    "claim": "every granted attempt gets an outcome",
    "wave": "every due wave of a running ladder is called",
    "reassignment": (
        "every order was approved by a named person under a rule, and every approved line is "
        "ordered once"
    ),
    "due": "every deadline fires",
    "reader": "readers of a log have read the same records",
    "logs": "the logs can be read",
}
"""Law → promise."""
HEARTBEAT_INTERVAL_S: Final = 60.0
ALARM_INTERVAL_S: Final = 900.0
"""Seconds between two alarms while the verdict stays red."""
TIMEOUT_S: Final = 10.0
MAX_ALARM_BREACHES: Final = 5
"""Most breaches in one alarm."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Verdict:
    state: VerdictState = "reading"
    breaches: tuple[Breach, ...] = ()
    at: int = 0
    """Time of the judgement, ms."""
    since: int = 0
    """Time since which the state has held, ms."""

    @property
    def sentence(self) -> str | None:
        """Summary of the breaches for a status line; None when all promises are kept."""
        if self.state == "green":
            return None
        if self.state == "reading":
            return "the logs are being read"
        first = self.breaches[0]
        more = f" (and {len(self.breaches) - 1} more)" if len(self.breaches) > 1 else ""
        return f"{first.law}: {first.what}{more}"


@dataclass
class Judge:
    """Keeps the last verdict and derives the next."""

    verdict: Verdict = field(default_factory=Verdict)
    _suspects: frozenset[tuple[str, str]] = frozenset()

    def judge(self, current_breaches: Iterable[Breach], now: int, *, caught_up: bool) -> Verdict:
        """Return the verdict on the current breaches.

        Numbers in sentences change, so a breach is identified by its law and its first words.
        """
        breaches = list(current_breaches)
        keys = {_get_breach_key(b): b for b in breaches}
        confirmed_breaches = tuple(b for key, b in keys.items() if key in self._suspects)
        self._suspects = frozenset(keys)
        state: VerdictState = (
            "red"
            if confirmed_breaches
            else "green"
            if caught_up and not breaches
            else self._keep_state(caught_up)
        )
        since = self.verdict.since if state == self.verdict.state else now
        self.verdict = Verdict(state, confirmed_breaches, now, since)
        return self.verdict

    def _keep_state(self, caught_up: bool) -> VerdictState:
        """Return the state for breaches that are suspected but not confirmed.

        A green verdict stands for one more judgement.
        """
        return self.verdict.state if caught_up and self.verdict.state == "green" else "reading"


def _get_breach_key(breach: Breach) -> tuple[str, str]:
    return breach.law, breach.what.split(":")[0].split(" is ")[0]


class AuditorSettings(Settings):
    """Settings of the auditor: `VIGIE_AUDIT_HEARTBEAT_URL`, `VIGIE_AUDIT_ALARM_URL`."""

    audit_heartbeat_url: SecretStr = SecretStr("")
    """Address of a dead-man's switch.

    It gets a POST once a minute while every promise is kept, with the signed positions of all logs.
    """
    audit_alarm_url: SecretStr = SecretStr("")
    """Address of an alarm service other than Vigie.

    It gets a POST when a promise is broken, every 15 minutes meanwhile, and when all is well again.
    """

    @field_validator("audit_heartbeat_url", "audit_alarm_url")
    @classmethod
    def _is_address(cls, url: SecretStr) -> SecretStr:
        return check_url(url, ("https", "http"))


class OutsideReporter:
    """Sends heartbeats and alarms; call `tell` after each judgement."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        heartbeat_url: str,
        alarm_url: str,
        monotonic: Callable[[], float],
        statement: Callable[[], object],
    ) -> None:
        """Keep the addresses.

        `statement` returns the signed positions of all logs, anew for each heartbeat.
        """
        self._client, self._statement = client, statement
        self._heartbeat_url = heartbeat_url
        self._alarm_url = alarm_url
        self._monotonic = monotonic
        self._beat_at = float("-inf")
        self._alarm_at = float("-inf")
        self._alarmed = False

    async def tell(self, verdict: Verdict) -> None:
        """Send the heartbeat or alarm that a verdict calls for.

        Never raises. A request that fails is repeated at the next judgement.
        """
        now = self._monotonic()
        if verdict.state == "green":
            if (
                self._heartbeat_url
                and now - self._beat_at >= HEARTBEAT_INTERVAL_S
                and await self._beat()
            ):
                self._beat_at = now
            if self._alarmed and await self._alarm("green", verdict):
                self._alarmed = False
                self._alarm_at = float("-inf")
        elif (
            verdict.state == "red"
            and now - self._alarm_at >= ALARM_INTERVAL_S
            and await self._alarm("red", verdict)
        ):
            self._alarmed, self._alarm_at = True, now

    async def _beat(self) -> bool:
        """Send one heartbeat and return whether it arrived.

        Without a key to sign with, none is sent, so the receiver alarms.
        """
        try:
            statement = self._statement()
        except (OSError, SigningKeyInvalid) as error:
            log.error("outside.unsigned", error=str(error))
            return False
        return await self._send("POST", self._heartbeat_url, statement)

    async def _alarm(self, state: str, verdict: Verdict) -> bool:
        if not self._alarm_url:
            return True
        breach_rows = [
            {"law": b.law, "what": b.what} for b in verdict.breaches[:MAX_ALARM_BREACHES]
        ]
        text = (
            "Vigie : toutes les promesses sont de nouveau tenues."
            if state == "green"
            else f"Vigie, audit : {verdict.sentence}"
        )
        return await self._send(
            "POST",
            self._alarm_url,
            {"source": "vigie-auditor", "state": state, "text": text, "breaches": breach_rows},
        )

    async def _send(self, method: str, url: str, body: object = None) -> bool:
        try:
            answer = await self._client.request(method, url, json=body, timeout=TIMEOUT_S)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            log.warning("outside.away", error=type(error).__name__)
            return False
        if answer.status_code >= 400:
            log.warning("outside.refused", status=answer.status_code)
        return answer.status_code < 400
