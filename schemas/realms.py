"""Parse realm names, assign partitions and derive ids."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from hashlib import blake2b, sha1
from typing import Final
from uuid import UUID, uuid5

from schemas.base import Realm

MAX_STEP_MINUTES: Final = 10 * 366 * 1440
"""Longest time in minutes by which the clock of a simulated realm moves at once."""
_NAME_PATTERN = re.compile(
    r"(?P<territory>[0-9A-Za-z]{1,8})(?:~(?P<kind>ex|what|test)-(?P<run>[0-9A-Za-z][0-9A-Za-z_-]{0,47}))?"
)
_VARIANT_DIGITS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
_DEMONSTRATIONS: Final = ("~ex-demo-", "~ex-flux-")
"""Parts of the names of exercises that play themselves."""
_NAMESPACE = UUID("8c1d5f0e-92a7-5b1e-9b1e-0a5f2f6f9200")


class RealmKind(StrEnum):
    LIVE = "live"
    EXERCISE = "ex"
    WHAT_IF = "what"
    TEST = "test"


class RealmNameInvalid(ValueError):
    """Signal an invalid realm name.

    A realm is `<territory>` or `<territory>~ex-<id>`, `~what-<id>`, `~test-<id>`.
    """


def parse_realm(name: str) -> tuple[str, RealmKind, str | None]:
    """Split a realm name into (territory, kind, run).

    Raises RealmNameInvalid.
    """
    m = _NAME_PATTERN.fullmatch(name)
    if not m:
        raise RealmNameInvalid(f"not a realm name: {name!r}")
    return m["territory"], RealmKind(m["kind"]) if m["kind"] else RealmKind.LIVE, m["run"]


def get_territory(realm: str) -> str:
    """Return the live realm of a realm's territory. Raises RealmNameInvalid."""
    return parse_realm(realm)[0]


def is_demonstration(realm: str) -> bool:
    """Return whether an exercise plays itself, so that nobody is exercised in it."""
    return any(part in realm for part in _DEMONSTRATIONS)


def is_live(realm: str) -> bool:
    """Return whether a realm runs on the real clock.

    All others have a simulated clock and cannot reach real recipients.
    """
    return "~" not in realm


def partition_of(realm: str, partitions: int) -> int:
    """Return the partition of a realm: live realms on the first half, all others on the second."""
    half = max(partitions // 2, 1)
    slot = int.from_bytes(blake2b(realm.encode(), digest_size=4).digest()) % half
    return slot if is_live(realm) or partitions == 1 else half + slot


def live_partitions(partitions: int) -> range:
    """Return the partitions of live realms.

    They hold no other realm, unless there is only one partition.
    """
    return range(max(partitions // 2, 1))


@lru_cache(maxsize=1024)
def lineage_namespace(lineage: str) -> UUID:
    """Return the namespace of all ids in the history that began in realm `lineage`.

    A fork keeps the ids of its origin.
    """
    return uuid5(_NAMESPACE, lineage)


@lru_cache(maxsize=1024)
def _namespace_bytes(lineage: str) -> bytes:
    return lineage_namespace(lineage).bytes


def derive_id(lineage: str, source_id: str, kind: str, ordinal: int) -> str:
    """Derive the id of one effect: `uuid5(lineage, id carried by the input, kind, ordinal)`.

    Implements RFC 9562 by hand: `str(uuid.uuid5(...))` costs ten times as much, for every fact of
    every input.
    """
    name = f"{source_id}\x1f{kind}\x1f{ordinal}".encode()
    h = sha1(_namespace_bytes(lineage) + name, usedforsecurity=False).hexdigest()
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANT_DIGITS[h[16]]}{h[17:20]}-{h[20:32]}"


def check_realm(name: str) -> Realm:
    """Return `name` as a Realm.

    Raises RealmNameInvalid.
    """
    parse_realm(name)
    return Realm(name)
