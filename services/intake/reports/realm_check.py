"""Refuse a report to a realm that does not exist, before it is accepted.

The decider refuses such a report as well, but by then its sender holds a receipt.
"""

from __future__ import annotations

import asyncio
from typing import Final
from urllib.parse import quote

import aiohttp
import structlog

from services.intake.reports.report_rights import Ask
from services.runtime.http.problems import ProblemError

KNOWN_REALM: Final = "/realm.json"
"""Path of the console that says whether a realm was ever opened. The front passes it to nobody."""
PATIENCE_S: Final = 5.0
"""Longest wait for the answer of the console: it looks for a realm that it does not know."""
log = structlog.get_logger(__name__)


class RealmCheck:
    """Realms that are known to exist. A realm once opened stays known, also when it is closed."""

    def __init__(self, own: str, ask: Ask) -> None:
        """Ask the console about every realm but `own`, the live realm of this machine."""
        self._ask = ask
        self._known = {own}
        self._turn = asyncio.Lock()

    async def check(self, realm: str) -> None:
        """Refuse a realm that was never opened. Raises ProblemError `realm_unknown`.

        Without a sure answer the realm passes, and the decider judges. So no report is lost while
        the console is away or behind the log.
        """
        if realm in self._known:
            return
        try:
            async with asyncio.timeout(PATIENCE_S), self._turn:
                if realm not in self._known:
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

    async def _look_up(self, realm: str) -> None:
        answer = await self._ask(f"{KNOWN_REALM}?name={quote(realm, safe='')}", PATIENCE_S)
        if answer["known"] is False:
            raise ProblemError("realm_unknown")
        if answer["known"]:
            self._known.add(realm)
