"""Directories of several live realms in one installation. Rule D140."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.people.directory import Contact, ContactPoint
from schemas.topics import RealmNameInvalid
from schemas.words import Channel
from services.runtime.identity.home_realm import read_home_realm
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Scope, include_exercises
from services.runtime.process.settings import Settings
from services.runtime.secrets.vault import VaultDirectory
from tests.directories import MemoryItems


def contact(person: str, number: str) -> Contact:
    return Contact(person=person, points=(ContactPoint(channel=Channel.SMS, address=number),))


HERE, THERE = contact("ast-technique", "+33600000092"), contact("ast-technique", "+33600000093")


async def test_one_token_is_another_person_in_each_realm() -> None:
    directory = VaultDirectory(MemoryItems(), "92")
    await directory.of("92").put(HERE)
    await directory.of("93").put_all([THERE])
    assert await directory.of("92").get("ast-technique") == HERE
    assert directory.of("93").peek("ast-technique") == THERE
    assert (directory.of("92").ids(), directory.of("93").ids()) == (
        ["ast-technique"],
        ["ast-technique"],
    )


async def test_a_person_of_one_realm_is_unknown_in_another() -> None:
    directory = VaultDirectory(MemoryItems(), "92")
    await directory.of("92").put(contact("dgs", "+33600000001"))
    await directory.of("93").put(THERE)
    assert await directory.of("93").get("dgs") is None
    assert await directory.of("92").get("ast-technique") is None
    assert directory.of("92").ids() == ["dgs"]


@pytest.mark.parametrize("realm", ["92~ex-7", "92~what-1", "92~test-a"])
async def test_an_exercise_has_the_people_of_its_live_realm(realm: str) -> None:
    directory = VaultDirectory(MemoryItems(), "93")
    await directory.of("92").put(HERE)
    await directory.of("93").put(THERE)
    assert await directory.of(realm).get("ast-technique") == HERE


async def test_an_erasure_leaves_the_person_of_another_realm() -> None:
    directory = VaultDirectory(MemoryItems(), "92")
    await directory.of("92").put(HERE)
    await directory.of("93").put(THERE)
    await directory.of("93").erase("ast-technique")
    assert directory.of("93").ids() == []
    assert await directory.of("92").get("ast-technique") == HERE


async def test_the_home_realm_reads_the_items_of_earlier_versions() -> None:
    items = MemoryItems()
    items.items["unit/dgs"] = contact("unit/dgs", "+33600000001").model_dump_json().encode()
    home = VaultDirectory(items, "92").of("92")
    assert home.ids() == ["unit/dgs"]
    assert await home.get("unit/dgs") is not None


async def test_a_token_never_reaches_into_another_realm() -> None:
    directory = VaultDirectory(MemoryItems(), "92")
    await directory.of("93").put(THERE)
    assert await directory.of("92").get("realm:93/ast-technique") is None
    assert directory.of("92").peek("realm:93/ast-technique") is None
    with pytest.raises(ValueError, match="realm:"):
        await directory.of("92").put(contact("realm:93/ast-technique", "+33600000092"))
    assert directory.of("93").peek("ast-technique") == THERE


async def test_the_realms_with_people_are_listed_with_the_home_realm_first() -> None:
    directory = VaultDirectory(MemoryItems(), "92")
    assert directory.realms() == ["92"]
    for realm in ("95", "93", "92"):
        await directory.of(realm).put(HERE)
    assert directory.realms() == ["92", "93", "95"]


def test_a_name_that_is_no_realm_has_no_directory() -> None:
    with pytest.raises(RealmNameInvalid):
        VaultDirectory(MemoryItems(), "92").of("93/ast-technique")


def test_the_home_realm_outlasts_another_territory_in_the_shell(tmp_path: Path) -> None:
    other = Settings(data_dir=tmp_path, territory=Path("/srv/territories/93"))
    assert read_home_realm(other) == "93"
    (tmp_path / "home-realm").write_text("92", encoding="utf-8")
    assert read_home_realm(other) == "92"
    (tmp_path / "home-realm").write_text("../92", encoding="utf-8")
    assert read_home_realm(other) == "93"


@pytest.mark.parametrize(
    ("realms", "realm", "known"),
    [
        ((), "92", True),
        ((), "92~ex-1", True),
        ((), "93", False),
        (("93",), "93", True),
        (("93",), "93~ex-1", True),
        (("93",), "92", False),
        (("93~*", "93"), "93", True),
    ],
)
def test_the_person_of_an_account_is_known_in_its_own_realm_only(
    realms: tuple[str, ...], realm: str, known: bool
) -> None:
    account = Principal(id="a", role=Role.CELL, person="dgs", scope=Scope(realms=realms))
    assert account.person_in(realm, "92") == ("dgs" if known else None)


@pytest.mark.parametrize(
    ("realms", "own"),
    [
        ((), "92"),
        (("93",), "93"),
        (("93~*", "93"), "93"),
        (("93~*",), "92"),
        (("93~ex-1",), "93~ex-1"),
    ],
)
def test_a_report_without_a_realm_belongs_to_the_first_named_realm_of_its_sender(
    realms: tuple[str, ...], own: str
) -> None:
    """`93~*` stands for many exercises: a report to a realm of this name would be refused."""
    account = Principal(id="a", role=Role.CELL, scope=Scope(realms=realms))
    assert account.own_realm("92") == own


@pytest.mark.parametrize(
    ("realms", "included"),
    [
        ((), ()),
        (("93",), ("93", "93~*")),
        (("93~*", "93"), ("93~*", "93")),
        (("93~ex-1",), ("93~ex-1",)),
        (("92", "93"), ("92", "93", "92~*", "93~*")),
    ],
)
def test_the_limits_of_a_person_include_the_exercises_of_each_live_realm_once(
    realms: tuple[str, ...], included: tuple[str, ...]
) -> None:
    limits = Scope(sites=("pmi-01",), realms=realms)
    assert include_exercises(limits) == Scope(sites=("pmi-01",), realms=included)


@pytest.mark.parametrize(
    ("realms", "realm", "seen"),
    [
        (("93",), "93~ex-1", False),
        (("93", "93~*"), "93~ex-1", True),
        (("93", "93~*"), "93", True),
        (("93", "93~*"), "92", False),
        (("93", "93~*"), "92~ex-1", False),
        (("93~*",), "93", False),
        (("93~*",), None, False),
    ],
)
def test_a_star_stands_for_all_simulated_realms_of_a_territory(
    realms: tuple[str, ...], realm: str | None, seen: bool
) -> None:
    account = Principal(id="a", role=Role.CELL, scope=Scope(realms=realms))
    assert account.sees(realm) is seen
