"""A source of people decides addresses; proofs, browsers and absent people of the directory stay."""

from __future__ import annotations

from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.console.directory.synchronisation import (
    DirectorySource,
    SynchronisationPlan,
    plan_synchronisation,
    select_file_source,
)

SMS = ContactPoint(channel=Channel.SMS, address="+33612345678")
MAIL = ContactPoint(channel=Channel.EMAIL, address="zoe@example.org")
BROWSER = ContactPoint(channel=Channel.APP, address="https://push.example.org/abc")
PROVEN = SMS.model_copy(update={"verified_at": 1_793_491_200_000, "quiet": (1260, 420)})


def make_person(person: str, *points: ContactPoint, language: str = "fr") -> Contact:
    return Contact.model_validate(
        {"person": person, "name": "Zoé", "language": language, "points": points}
    )


def plan(source: DirectorySource, *known: Contact) -> SynchronisationPlan:
    directory = {one.person: one for one in known}
    return plan_synchronisation(source, directory, directory.get)


def test_people_come_change_or_stay_as_they_are() -> None:
    source = select_file_source(
        [make_person("a", SMS), make_person("b", SMS), make_person("c", SMS)]
    )
    made = plan(source, make_person("b", MAIL), make_person("c", SMS))
    assert [one.person for one in made.new_contacts] == ["a"]
    assert [one.person for one in made.changed_contacts] == ["b"]
    assert made.same == ("c",)
    assert made.absent == ()


def test_an_address_that_stays_keeps_its_proof_and_a_new_one_has_none() -> None:
    person = make_person("a", PROVEN)
    assert plan(select_file_source([make_person("a", SMS)]), person).same == ("a",)
    other = SMS.model_copy(update={"address": "+33698765432"})
    (changed,) = plan(select_file_source([make_person("a", other)]), person).changed_contacts
    assert changed.points == (other,)


def test_channels_that_the_source_does_not_decide_stay() -> None:
    source = DirectorySource((make_person("a", MAIL),), frozenset({Channel.EMAIL, Channel.SMS}))
    (changed,) = plan(source, make_person("a", SMS, BROWSER)).changed_contacts
    assert changed.points == (MAIL, BROWSER)


def test_a_source_without_languages_keeps_them() -> None:
    people, channels = (make_person("a", SMS),), frozenset({Channel.SMS})
    person = make_person("a", SMS, language="en")
    assert plan(DirectorySource(people, channels, decides_language=False), person).same == ("a",)
    (changed,) = plan(DirectorySource(people, channels), person).changed_contacts
    assert changed.language == "fr"


def test_absent_people_are_named_and_never_written() -> None:
    made = plan(
        DirectorySource(
            (make_person("a", SMS),), frozenset({Channel.SMS}), faulty=frozenset({"c"})
        ),
        make_person("b", SMS),
        make_person("c", SMS),
        make_person("contact:prefecture", SMS),
    )
    assert made.absent == ("b",), "neither a faulty entry nor a partner is absent"
    assert [one.person for one in made.contacts_to_write] == ["a"]
