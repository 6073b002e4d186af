"""Find the person behind a phone number, by keyed hash in memory. No number leaves this module."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol

from schemas.people.directory import Contact
from schemas.words import Channel
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Principal

REFRESH_INTERVAL_S: Final = 10.0
"""Minimum seconds between two reads of the directory because of unknown numbers."""
DEFAULT_SOURCE_KIND: Final = "site_manager"
"""Kind of source of a person in the directory without an account."""
_YIELD_EVERY: Final = 200
_FRENCH_NUMBER: Final = re.compile(r"0[1-9]\d{8}")


class PersonDirectory(Protocol):
    """The part of `services.runtime.secrets.vault.Directory` that is used here."""

    def ids(self) -> list[str]:
        """Return all person tokens."""
        ...

    async def get(self, person: str) -> Contact | None:
        """Return a person, or None if unknown or erased."""
        ...


@dataclass(frozen=True, slots=True)
class PhoneReporter:
    """A person with a verified number."""

    speaks: Principal
    sites: tuple[str, ...]
    """Sites that a line without a site is about: the account's only site, else the place of work.

    A line may name any site that the account allows.
    """


class PhoneNumbers:
    """Index from phone numbers to the principals that report from them."""

    def __init__(
        self,
        directory: PersonDirectory,
        access: AccessStore,
        key: bytes,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._access = access
        self._key = key
        self._monotonic = monotonic
        self._index: dict[bytes, tuple[str, ...]] = {}
        """Hash of each number, verified or not, to the people that have it."""
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    def hashed(self, number: str) -> bytes:
        """Return the keyed hash of a number in any spelling."""
        return blake2b(_normalize_number(number).encode(), key=self._key, digest_size=16).digest()

    async def of(self, hashed: bytes) -> PhoneReporter | None:
        """Return the person that reports from a number, or None.

        The principal is the person's account if it may report, else one made from the directory.
        The result is None if the number is unknown or was never verified, or if all accounts of the
        person are disabled.
        """
        contact = await self._holder(hashed, _list_verified_phones)
        if contact is None:
            return None
        person = contact.person
        accounts = [p for p in self._access.all(Principal) if p.person == person]
        open_ = [p for p in accounts if p.disabled_at is None]
        if accounts and not open_:
            return None
        known = next((p for p in open_ if p.may(Permission.REPORT_POST)), None)
        speaks = known or Principal(
            id=f"person.{person}"[:64],
            role=Role.SITE_MANAGER,
            speaks_as=DEFAULT_SOURCE_KIND,
            person=person,
        )
        sites = (
            speaks.scope.sites
            if len(speaks.scope.sites) == 1 or contact.site is None
            else (contact.site,)
        )
        return PhoneReporter(speaks, sites)

    async def listed(self, hashed: bytes) -> bool:
        """Return whether a person in the directory has this number, verified or not.

        If so, delivery may have called it.
        """
        return await self._holder(hashed, _list_phones) is not None

    async def _holder(
        self, hashed: bytes, numbers: Callable[[Contact], list[str]]
    ) -> Contact | None:
        """Return a person that has the number among these numbers now.

        The index may be outdated: numbers change hands, and people are erased.
        """
        found = await self._known(hashed, numbers)
        if found is None:
            await self._read()
            found = await self._known(hashed, numbers)
        return found

    async def _known(
        self, hashed: bytes, numbers: Callable[[Contact], list[str]]
    ) -> Contact | None:
        for person in self._index.get(hashed, ()):
            contact = await self._directory.get(person)
            if contact is not None and hashed in {self.hashed(n) for n in numbers(contact)}:
                return contact
        return None

    async def _read(self) -> None:
        """Read the directory again, at most every READ_AGAIN_S. Concurrent callers wait for it."""
        async with self._reading:
            if self._monotonic() - self._read_at < REFRESH_INTERVAL_S:
                return
            self._read_at, found = self._monotonic(), dict[bytes, tuple[str, ...]]()
            for n, person in enumerate(self._directory.ids()):
                if n % _YIELD_EVERY == 0:
                    # Decrypting thousands of entries would hold up other requests.
                    await asyncio.sleep(0)
                if (contact := await self._directory.get(person)) is not None:
                    for hashed in {self.hashed(number) for number in _list_phones(contact)}:
                        found[hashed] = (person, *found.get(hashed, ()))
            self._index = found


def _list_phones(contact: Contact) -> list[str]:
    return [p.address for p in contact.points if p.channel in (Channel.SMS, Channel.VOICE)]


def _list_verified_phones(contact: Contact) -> list[str]:
    return [
        p.address
        for p in contact.points
        if p.channel in (Channel.SMS, Channel.VOICE) and p.verified_at is not None
    ]


def _normalize_number(number: str) -> str:
    """Normalize `06 12…`, `0033612…`, `33612…` and `+33612…` to the same digits."""
    digits = re.sub(r"\D", "", number)
    return "33" + digits[1:] if _FRENCH_NUMBER.fullmatch(digits) else digits.removeprefix("00")
