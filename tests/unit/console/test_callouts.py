"""A call-out reaches people by their place of work, as tokens with channels, without addresses."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.console.messages.callouts_api import (
    CallOutRequest,
    complete_correction,
    list_recipients,
)
from services.runtime.http.problems import ProblemError


class Directory:
    def __init__(self, *contacts: Contact) -> None:
        self.contacts = {c.person: c for c in contacts}

    def ids(self) -> list[str]:
        return [*self.contacts, "erased"]

    async def get(self, person: str) -> Contact | None:
        return self.contacts.get(person)


def person(token: str, site: str | None, *channels: Channel) -> Contact:
    return Contact(
        person=token,
        site=site,
        points=tuple(ContactPoint(channel=c, address=f"secret-{c}") for c in channels),
    )


PEOPLE = Directory(
    person("b", "cen-1", Channel.SMS, Channel.EMAIL, Channel.SMS),
    person("a", "cen-2", Channel.EMAIL),
    person("c", None),
)


async def test_a_site_means_the_people_working_there() -> None:
    (recipient,) = await list_recipients(PEOPLE, ["cen-1"], everybody=False)
    assert (recipient.person, recipient.channels) == ("b", (Channel.SMS, Channel.EMAIL))
    assert "secret" not in recipient.model_dump_json()
    assert await list_recipients(PEOPLE, ["elsewhere"], everybody=False) == []


async def test_a_call_to_all_counts_people_without_a_channel() -> None:
    assert [c.person for c in await list_recipients(PEOPLE, [], everybody=True)] == ["a", "b", "c"]


def author_of_a_correction(**wrong: Any) -> Any:
    """Return a reader of the call-out `c0`, sent to a site by e-mail."""
    values = {
        "kind": "callout",
        "started_at": 1,
        "incident": "i1",
        "sites": ["cen-1"],
        "level": 2,
        "danger": True,
        "channels": [Channel.EMAIL],
    }

    async def callout(id: str) -> Any:
        assert id == "c0"
        return SimpleNamespace(**values | wrong)

    return SimpleNamespace(realm="92", model=SimpleNamespace(callout=callout))


async def test_a_correction_has_the_recipients_of_the_wrong_message() -> None:
    made = await complete_correction(
        author_of_a_correction(), CallOutRequest(text="x", corrects="c0")
    )
    assert (made.sites, made.everybody, made.incident, made.danger, made.channels) == (
        ["cen-1"],
        False,
        "i1",
        True,
        [Channel.EMAIL],
    )


async def test_a_correction_of_a_message_to_all_goes_to_all() -> None:
    made = await complete_correction(
        author_of_a_correction(sites=[]), CallOutRequest(text="x", corrects="c0")
    )
    assert (made.sites, made.everybody) == ([], True)


async def test_a_correction_may_name_other_sites_and_channels() -> None:
    made = await complete_correction(
        author_of_a_correction(),
        CallOutRequest(text="x", corrects="c0", sites=["cen-2"], channels=[Channel.SMS]),
    )
    assert (made.sites, made.everybody, made.channels) == (["cen-2"], False, [Channel.SMS])


@pytest.mark.parametrize("wrong", [{"started_at": None}, {"kind": "headcount"}])
async def test_an_unsent_message_is_not_corrected(wrong: dict[str, Any]) -> None:
    with pytest.raises(ProblemError) as refused:
        await complete_correction(
            author_of_a_correction(**wrong), CallOutRequest(text="x", corrects="c0")
        )
    assert [fault.field for fault in refused.value.problem.faults] == ["corrects"]
