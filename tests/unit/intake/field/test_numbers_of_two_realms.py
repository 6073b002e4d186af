"""Phone numbers of two live realms at the front. Rule D140."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.intake.field.phone_numbers import PhoneNumbers
from services.intake.field.site_managers import SiteManagers
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Scope
from tests.directories import make_directory

OF_92, OF_93, SHARED = "+33600000092", "+33600000093", "+33600000009"


class Accounts:
    def __init__(self, *principals: Principal) -> None:
        self._principals = principals

    def all(self, _kind: type) -> list[Principal]:
        return list(self._principals)


def contact(person: str, *numbers: str, site: str | None = None) -> Contact:
    points = (
        ContactPoint(channel=Channel.SMS, address=number, verified_at=1) for number in numbers
    )
    return Contact(person=person, site=site, points=tuple(points))


def index(*principals: Principal) -> PhoneNumbers:
    directory = make_directory(
        r92=[contact("agent", OF_92, SHARED, site="clg-92")],
        r93=[contact("agent", OF_93, SHARED, site="clg-93")],
    )
    access: Any = Accounts(*principals)
    return PhoneNumbers(directory, access, b"k" * 32, SiteManagers(directory.realms))


@pytest.mark.parametrize(
    ("number", "realm", "sites"),
    [
        (OF_92, "92", ("clg-92",)),
        (OF_93, "93", ("clg-93",)),
        (SHARED, "92", ("clg-92",)),
        (SHARED, "93", ("clg-93",)),
    ],
)
async def test_a_number_reports_as_the_person_of_its_own_realm(
    number: str, realm: str, sites: tuple[str, ...]
) -> None:
    numbers = index()
    reporter = await numbers.of(numbers.hash_number(number), realm)
    assert reporter is not None
    assert reporter.sites == sites
    assert reporter.speaks.sees(realm)


@pytest.mark.parametrize(("number", "realm"), [(OF_92, "93"), (OF_93, "92"), (OF_92, "95")])
async def test_a_number_of_another_realm_is_a_strangers(number: str, realm: str) -> None:
    numbers = index()
    assert await numbers.of(numbers.hash_number(number), realm) is None


async def test_people_of_two_realms_with_one_token_are_two_senders() -> None:
    numbers = index()
    here, there = (
        await numbers.of(numbers.hash_number(SHARED), "92"),
        await numbers.of(numbers.hash_number(SHARED), "93"),
    )
    assert here is not None
    assert there is not None
    assert here.speaks.id != there.speaks.id


async def test_the_account_of_a_namesake_in_92_neither_speaks_nor_blocks_in_93() -> None:
    closed = Principal(id="a-92", role=Role.CELL, person="agent", disabled_at=1)
    own = Principal(id="a-93", role=Role.CELL, person="agent", scope=Scope(realms=("93",)))
    numbers = index(closed)
    assert await numbers.of(numbers.hash_number(SHARED), "92") is None
    assert await numbers.of(numbers.hash_number(SHARED), "93") is not None
    numbers = index(closed, own)
    reporter = await numbers.of(numbers.hash_number(SHARED), "93")
    assert reporter is not None
    assert reporter.speaks.id == "a-93"


@pytest.mark.parametrize(
    ("number", "realms", "listed"),
    [(OF_92, (), True), (OF_92, ("93",), False), (OF_93, ("93",), True), (SHARED, ("93",), True)],
)
async def test_a_gateway_of_93_passes_on_answers_of_people_of_93(
    number: str, realms: tuple[str, ...], listed: bool
) -> None:
    numbers = index()
    assert await numbers.is_listed(numbers.hash_number(number), realms) is listed
