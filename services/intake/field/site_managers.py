"""Know the managers of sites by the roster in force, as the console lists them. Rule D2."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Final
from urllib.parse import quote

import structlog

from services.intake.reports.report_checks import ANSWER_S, ASK_AGAIN_S, UNANSWERED, Ask

MANAGERS: Final = "/managers.json"
"""Path of the console with the managers of a realm. The front passes it to nobody."""
log = structlog.get_logger(__name__)


class SiteManagers:
    """Managers of the sites of each live realm, holders and deputies."""

    def __init__(self, realms: Callable[[], Iterable[str]]) -> None:
        self._realms = realms
        self._sites: dict[str, Mapping[str, tuple[str, ...]]] = {}
        """Realm → person → sites."""

    async def follow(self, ask: Ask) -> None:
        """Keep up with the rosters in force, until cancelled."""
        while True:
            await self.renew(ask)
            await asyncio.sleep(ASK_AGAIN_S)

    async def renew(self, ask: Ask) -> None:
        """Ask for the managers of each realm once. Without an answer the known ones stay."""
        for realm in tuple(self._realms()):
            try:
                answer = await ask(f"{MANAGERS}?realm={quote(realm, safe='~')}", ANSWER_S)
                if answer["version"] is not None:
                    self._sites[realm] = {
                        person: tuple(sites) for person, sites in answer["managers"].items()
                    }
            except UNANSWERED as error:
                log.debug("managers.unasked", error=f"{type(error).__name__}: {error}")

    def find_sites(self, realm: str, person: str) -> tuple[str, ...]:
        """Return the sites that a person manages; none before the console has answered."""
        return self._sites.get(realm, {}).get(person, ())
