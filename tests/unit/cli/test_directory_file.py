import pytest

from schemas.words import Channel
from services.cli.directory import COLUMNS, DirectoryInvalid, contacts_of

HEAD = ",".join(COLUMNS)


def test_contact_points_of_a_person_keep_their_order() -> None:
    lines = [HEAD, "p-1,A,,sms,+331,2026-11-01", "p-2,,en,email,b@example.org,", "p-1,A,,email,a@example.org,2026-11-01T10:00:00+01:00"]
    first, second = contacts_of(lines)
    assert [(p.channel, p.address, p.verified_at) for p in first.points] == [
        (Channel.SMS, "+331", 1_793_491_200_000),
        (Channel.EMAIL, "a@example.org", 1_793_523_600_000),
    ]
    assert (second.person, second.name, second.language) == ("p-2", None, "en")


def test_every_problem_is_named_with_its_line_and_without_its_content() -> None:
    lines = [HEAD, "p-1,A,,pigeon,+33612345678,", "p-2,A,,sms,,", "p-3,A,,sms,+331,soon", ",A,,sms,+331,", "p-5,A,de,sms,+331,"]
    with pytest.raises(DirectoryInvalid) as caught:
        contacts_of(lines)
    text = str(caught.value)
    assert [line.split(":")[0] for line in text.splitlines()] == [f"line {n}" for n in range(2, 7)]
    assert "612345678" not in text


def test_missing_columns_are_named() -> None:
    with pytest.raises(DirectoryInvalid, match="address, verified_at"):
        contacts_of(["person,name,language,channel", "p-1,,,sms"])
