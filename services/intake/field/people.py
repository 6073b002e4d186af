"""Whose number this is: the directory's verified numbers by keyed hash, in memory only. No number leaves this module."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Protocol

from schemas.directory import Contact
from schemas.words import Channel
from services.runtime.access import AccessStore
from services.runtime.principals import Principal
from services.runtime.rights import Permission, Role

READ_AGAIN_S: Final = 10.0
"""For an unknown number the directory is read again at most this often."""
SPEAKS_AS: Final = "site_manager"
"""Kind of source of somebody of the directory who has no account of their own."""
_FRENCH: Final = re.compile(r"0[1-9]\d{8}")


class Shelf(Protocol):
    """`services.runtime.vault.Directory`."""

    def ids(self) -> list[str]:
        """All tokens."""
        ...

    async def get(self, person: str) -> Contact | None:
        """The person; None when unknown or erased."""
        ...


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with a verified number."""

    speaks: Principal
    sites: tuple[str, ...]
    """What a line that names no site is about: the one of the account, else the place of work. It may name any that the account allows."""


class People:
    """Numbers → who speaks."""

    def __init__(self, directory: Shelf, access: AccessStore, key: bytes, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._access = access
        self._key = key
        self._monotonic = monotonic
        self._index: dict[bytes, str] = {}
        self._read_at = float("-inf")

    def hashed(self, number: str) -> bytes:
        """Of a number in any of its spellings."""
        return blake2b(_one_form(number).encode(), key=self._key, digest_size=16).digest()

    async def of(self, hashed: bytes) -> Person | None:
        """Who reports from the number of this hash: their account when it may report, else a person of the directory.

        None: unknown, never verified, or somebody whose accounts were all shut.
        """
        if hashed not in self._index and self._monotonic() - self._read_at >= READ_AGAIN_S:
            await self._read()
        person = self._index.get(hashed)
        contact = None if person is None else await self._directory.get(person)
        if person is None or contact is None or hashed not in {self.hashed(n) for n in _verified(contact)}:
            return None
        accounts = [p for p in self._access.all(Principal) if p.person == person]
        open_ = [p for p in accounts if p.disabled_at is None]
        if accounts and not open_:
            return None
        known = next((p for p in open_ if p.may(Permission.REPORT_POST)), None)
        speaks = known or Principal(id=f"person.{person}"[:64], role=Role.SITE_MANAGER, speaks_as=SPEAKS_AS, person=person)
        sites = speaks.scope.sites if len(speaks.scope.sites) == 1 or contact.site is None else (contact.site,)
        return Person(speaks, sites)

    async def _read(self) -> None:
        self._read_at = self._monotonic()
        found: dict[bytes, str] = {}
        for person in self._directory.ids():
            if (contact := await self._directory.get(person)) is not None:
                found |= {self.hashed(number): person for number in _verified(contact)}
        self._index = found


def _verified(contact: Contact) -> list[str]:
    return [p.address for p in contact.points if p.channel in (Channel.SMS, Channel.VOICE) and p.verified_at is not None]


def _one_form(number: str) -> str:
    """`06 12…`, `0033612…`, `33612…` and `+33612…` are one number."""
    digits = re.sub(r"\D", "", number)
    return "33" + digits[1:] if _FRENCH.fullmatch(digits) else digits.removeprefix("00")
