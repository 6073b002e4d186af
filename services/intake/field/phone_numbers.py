"""Find the person behind a phone number, by keyed hash in memory. No number leaves this module."""

import asyncio
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final

from schemas.catalogue.sources import MANAGER, STAFF
from schemas.people.directory import Contact
from schemas.topics import parse_realm
from schemas.words import Channel
from services.intake.field.site_managers import SiteManagers
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.permissions import Permission, Role
from services.runtime.identity.principals import Principal, Scope
from services.runtime.secrets.vault import VaultDirectory

REFRESH_INTERVAL_S: Final = 10.0
"""Minimum seconds between two reads of the directory because of unknown numbers."""
_YIELD_EVERY: Final = 200
_FRENCH_NUMBER: Final = re.compile(r"0[1-9]\d{8}")


@dataclass(frozen=True, slots=True)
class NumberHolder:
    """A person of one live realm, as holder of a number."""

    realm: str
    person: str


@dataclass(frozen=True, slots=True)
class PhoneReporter:
    """A person with a verified number."""

    speaks: Principal
    sites: tuple[str, ...]
    """Sites that a line without a site is about: the account's only site, else the place of work.

    A line may name any site that the account allows.
    """
    own_sites: tuple[str, ...] = ()
    """Sites of which the person speaks as their manager. Rule D2."""


class PhoneNumbers:
    """Index from phone numbers to the principals that report from them."""

    def __init__(
        self,
        directory: VaultDirectory,
        access: AccessStore,
        key: bytes,
        managers: SiteManagers,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._directory = directory
        self._access = access
        self._key = key
        self._managers = managers
        self._monotonic = monotonic
        self._index: dict[bytes, tuple[NumberHolder, ...]] = {}
        """Hash of each number, verified or not, to the people that have it."""
        self._read_at = float("-inf")
        self._reading = asyncio.Lock()

    def hash_number(self, number: str) -> bytes:
        """Return the keyed hash of a number in any spelling."""
        return blake2b(_normalize_number(number).encode(), key=self._key, digest_size=16).digest()

    async def of(self, number_hash: bytes, realm: str) -> PhoneReporter | None:
        """Return the person of a realm that reports from a number, or None.

        The principal is the person's account if it may report, else one made from the directory:
        the manager of the sites that the roster says, else an agent. The result is None if the
        number is unknown or was never verified, or if all accounts of the person are disabled.
        """
        territory, _, _ = parse_realm(realm)
        contact = await self._holder(number_hash, _list_verified_phones, (territory,))
        if contact is None:
            return None
        person, home = contact.person, self._directory.home_realm
        accounts = [p for p in self._access.all(Principal) if p.person_in(realm, home) == person]
        open_ = [p for p in accounts if p.disabled_at is None]
        if accounts and not open_:
            return None
        principal = next((p for p in open_ if p.may(Permission.REPORT_POST)), None)
        is_home = territory == home
        name = person if is_home else f"{territory}.{person}"
        managed_sites = self._managers.find_sites(territory, person)
        speaks = principal or Principal(
            id=f"person.{name}"[:64],
            role=Role.SITE_MANAGER,
            speaks_as=MANAGER if managed_sites else STAFF,
            person=person,
            scope=Scope() if is_home else Scope(realms=(realm,)),
        )
        sites = (
            speaks.scope.sites
            if len(speaks.scope.sites) == 1 or contact.site is None
            else (contact.site,)
        )
        return PhoneReporter(speaks, sites, speaks.scope.sites or managed_sites or sites)

    async def is_listed(self, number_hash: bytes, realms: Collection[str] = ()) -> bool:
        """Return whether a person of these realms, or of any, has this number, verified or not.

        If so, delivery may have called it.
        """
        return await self._holder(number_hash, _list_phones, realms) is not None

    async def _holder(
        self, number_hash: bytes, numbers: Callable[[Contact], list[str]], realms: Collection[str]
    ) -> Contact | None:
        """Return a person that has the number among these numbers now.

        The index may be outdated: numbers change hands, and people are erased.
        """
        holder = await self._find_contact(number_hash, numbers, realms)
        if holder is None:
            await self._read()
            holder = await self._find_contact(number_hash, numbers, realms)
        return holder

    async def _find_contact(
        self, number_hash: bytes, numbers: Callable[[Contact], list[str]], realms: Collection[str]
    ) -> Contact | None:
        for holder in self._index.get(number_hash, ()):
            if realms and holder.realm not in realms:
                continue
            contact = await self._directory.of(holder.realm).get(holder.person)
            if contact is not None and number_hash in {
                self.hash_number(n) for n in numbers(contact)
            }:
                return contact
        return None

    async def _read(self) -> None:
        """Read the directory again, at most every READ_AGAIN_S. Concurrent callers wait for it."""
        async with self._reading:
            if self._monotonic() - self._read_at < REFRESH_INTERVAL_S:
                return
            self._read_at, index = self._monotonic(), dict[bytes, tuple[NumberHolder, ...]]()
            for realm in self._directory.realms():
                people = self._directory.of(realm)
                for n, person in enumerate(people.ids()):
                    if n % _YIELD_EVERY == 0:
                        # Decrypting thousands of entries would hold up other requests.
                        await asyncio.sleep(0)
                    if (contact := await people.get(person)) is not None:
                        for number_hash in {
                            self.hash_number(number) for number in _list_phones(contact)
                        }:
                            holder = NumberHolder(realm, person)
                            index[number_hash] = (holder, *index.get(number_hash, ()))
            self._index = index


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
