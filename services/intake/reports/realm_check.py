"""Refuse a report to a realm that does not exist or is closed, before it is accepted.

The decider refuses such a report as well, but by then its sender holds a receipt.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

import aiohttp
import structlog

from schemas.topics import is_live
from services.intake.reports.report_rights import Ask
from services.runtime.http.problems import ProblemError

KNOWN_REALM: Final = "/realm.json"
"""Path of the console with the state of a realm. The front passes it to nobody."""
OPEN_S: Final = 0.25
"""Seconds for which a realm counts as open without another question.

A report in this time after the closing is refused by the decider.
"""
PATIENCE_S: Final = 5.0
"""Longest wait for the answer of the console: it looks for a realm that it does not know."""
log = structlog.get_logger(__name__)


class RealmCheck:
    """Realms that are known to exist. A realm once closed stays closed."""

    def __init__(
        self, own: str, ask: Ask, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Ask the console about every realm but `own`, the live realm of this machine."""
        self._ask = ask
        self._monotonic = monotonic
        self._open_until = {own: float("inf")}
        self._closed = set[str]()
        self._turn = asyncio.Lock()

    async def check(self, realm: str) -> bool:
        """Return whether a realm is closed. Raises ProblemError `realm_unknown`.

        Without a sure answer the realm passes, and the decider judges. So no report is lost while
        the console is away or behind the log. A realm that was open is then asked about less often.
        """
        if self._is_open(realm):
            return False
        try:
            async with asyncio.timeout(PATIENCE_S), self._turn:
                if realm not in self._closed and not self._is_open(realm):
                    await self._look_up(realm)
        except (
            aiohttp.ClientError,
            TimeoutError,
            OSError,
            AttributeError,
            KeyError,
            TypeError,
            ValueError,
        ) as error:
            log.debug("realm.unasked", realm=realm, error=f"{type(error).__name__}: {error}")
            if realm in self._open_until:
                self._open_until[realm] = self._monotonic() + PATIENCE_S
        return realm in self._closed

    def _is_open(self, realm: str) -> bool:
        return self._monotonic() < self._open_until.get(realm, 0.0)

    async def _look_up(self, realm: str) -> None:
        answer = await self._ask(f"{KNOWN_REALM}?name={quote(realm, safe='')}", PATIENCE_S)
        if answer["known"] is False:
            raise ProblemError("realm_unknown")
        if answer["closed"]:
            self._closed.add(realm)
        elif answer["known"]:
            open_s = float("inf") if is_live(realm) else OPEN_S
            self._open_until[realm] = self._monotonic() + open_s
