import pytest

from schemas.oncall import DAY_MIN
from schemas.words import Channel
from services.console.directory.contact_file import COLUMNS, DirectoryInvalid, read_contacts

HEAD = ",".join(COLUMNS)


def test_contact_points_of_a_person_keep_their_order() -> None:
    lines = [
        HEAD,
        "p-1,A,,sms,+33612345678,2026-11-01",
        "p-2,,en,email,b@example.org,",
        "p-1,A,,email,a@example.org,2026-11-01T10:00:00+01:00",
    ]
    first, second = read_contacts(lines)
    assert [(p.channel, p.address, p.verified_at) for p in first.points] == [
        (Channel.SMS, "+33612345678", 1_793_491_200_000),
        (Channel.EMAIL, "a@example.org", 1_793_523_600_000),
    ]
    assert (second.person, second.name, second.language) == ("p-2", None, "en")


def test_every_problem_is_named_with_its_line_and_without_its_content() -> None:
    lines = [
        HEAD,
        "p-1,A,,pigeon,+33612345678,",
        "p-2,A,,sms,,",
        "p-3,A,,sms,+33612345678,soon",
        ",A,,sms,+33612345678,",
        "p-5,A,de,sms,+33612345678,",
    ]
    with pytest.raises(DirectoryInvalid) as caught:
        read_contacts(lines)
    text = str(caught.value)
    assert [line.split(":")[0] for line in text.splitlines()] == [f"line {n}" for n in range(2, 7)]
    assert "612345678" not in text


@pytest.mark.parametrize(
    "second",
    ["p-1,B,fr,sms,+33698765432,,S1", "p-1,,en,sms,+33698765432,,", "p-1,,,sms,+33698765432,,S2"],
    ids=["name", "language", "site"],
)
def test_a_token_of_two_people_is_refused_rather_than_given_both_numbers(second: str) -> None:
    lines = [f"{HEAD},site", "p-1,A,fr,sms,+33612345678,,S1", second]
    with pytest.raises(DirectoryInvalid, match=r"^line 3: .* differ in name, language or site"):
        read_contacts(lines)


def test_a_later_line_may_repeat_or_leave_out_name_language_and_site() -> None:
    first = "p-1,A,fr,sms,+33612345678,,S1"
    again = "p-1,A,fr,email,a@example.org,,S1"
    [person] = read_contacts([f"{HEAD},site", first, again, "p-1,,,voice,+33612345678,,"])
    assert (person.name, person.language, person.site) == ("A", "fr", "S1")
    assert [p.channel for p in person.points] == [Channel.SMS, Channel.EMAIL, Channel.VOICE]


def test_missing_columns_are_named() -> None:
    with pytest.raises(DirectoryInvalid, match="address, verified_at"):
        read_contacts(["person,name,language,channel", "p-1,,,sms"])


def test_a_column_that_nothing_reads_is_named() -> None:
    """A mistyped «site» was ignored, and its people belonged to no site."""
    with pytest.raises(DirectoryInvalid, match="line 1: unknown columns sit"):
        read_contacts([f"{HEAD},sit", "p-1,A,,sms,+33612345678,,S1"])


def test_a_cell_beyond_the_last_column_is_refused() -> None:
    with pytest.raises(DirectoryInvalid, match="line 2: more cells than columns"):
        read_contacts([HEAD, "p-1,Dupont, Anne,fr,sms,+33612345678,2026-11-01"])


def test_empty_columns_of_a_spreadsheet_are_left_out() -> None:
    [person] = read_contacts([f"{HEAD},,", "p-1,A,fr,sms,+33612345678,,,"])
    assert person.name == "A"


@pytest.mark.parametrize(
    "written",
    [
        "06 12 34 56 78",
        "06.12.34.56.78",
        "+33 (0)6 12 34 56 78",
        "0033612345678",
        "33612345678",
        " +33612345678 ",
    ],
)
@pytest.mark.parametrize("channel", [Channel.SMS, Channel.VOICE])
def test_a_number_of_any_form_is_kept_in_the_form_of_networks(
    channel: Channel, written: str
) -> None:
    ((point,),) = (c.points for c in read_contacts([HEAD, f"p-1,A,,{channel},{written},"]))
    assert point.address == "+33612345678"


@pytest.mark.parametrize(
    "point",
    [
        "sms,117",
        "voice,le gardien",
        "sms,+33 6 12 34 56",
        "email,personne",
        "email,a@b c",
        "webhook,http://example.org/hook",
        "webhook,ici",
    ],
)
def test_a_contact_point_without_a_provider_is_refused_at_the_import(point: str) -> None:
    with pytest.raises(DirectoryInvalid, match="line 2: address: ") as caught:
        read_contacts([HEAD, f"p-1,A,,{point},2026-11-01"])
    assert point.split(",")[1] not in str(caught.value)


def test_quiet_hours_may_end_at_midnight() -> None:
    ((point,),) = (
        c.points for c in read_contacts([f"{HEAD},quiet", "p-1,A,,sms,+33612345678,,21:00-24:00"])
    )
    assert point.quiet == (21 * 60, DAY_MIN)
