"""Whom a call-out means: people by their place of work, as tokens with channels, never with addresses."""

from __future__ import annotations

from schemas.directory import Contact, ContactPoint
from schemas.words import Channel
from services.console.api.callouts import audience


class Directory:
    def __init__(self, *contacts: Contact) -> None:
        self.contacts = {c.person: c for c in contacts}

    def ids(self) -> list[str]:
        return [*self.contacts, "erased"]

    async def get(self, person: str) -> Contact | None:
        return self.contacts.get(person)


def person(token: str, site: str | None, *channels: Channel) -> Contact:
    return Contact(person=token, site=site, points=tuple(ContactPoint(channel=c, address=f"secret-{c}") for c in channels))


PEOPLE = Directory(person("b", "cen-1", Channel.SMS, Channel.EMAIL, Channel.SMS), person("a", "cen-2", Channel.EMAIL), person("c", None))


async def test_a_site_means_those_who_work_there() -> None:
    (found,) = await audience(PEOPLE, ["cen-1"], everybody=False)
    assert (found.person, found.channels) == ("b", (Channel.SMS, Channel.EMAIL))
    assert "secret" not in found.model_dump_json()
    assert await audience(PEOPLE, ["elsewhere"], everybody=False) == []


async def test_everybody_means_also_who_has_no_channel_so_that_they_are_counted() -> None:
    assert [c.person for c in await audience(PEOPLE, [], everybody=True)] == ["a", "b", "c"]
