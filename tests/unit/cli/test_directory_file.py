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
    assert [one.split(" : ")[0] for one in text.splitlines()] == [f"ligne {n}" for n in range(2, 7)]
    assert "612345678" not in text


@pytest.mark.parametrize(
    "second",
    ["p-1,B,fr,sms,+33698765432,,S1", "p-1,,en,sms,+33698765432,,", "p-1,,,sms,+33698765432,,S2"],
    ids=["name", "language", "site"],
)
def test_a_token_of_two_people_is_refused_rather_than_given_both_numbers(second: str) -> None:
    lines = [f"{HEAD},site", "p-1,A,fr,sms,+33612345678,,S1", second]
    with pytest.raises(DirectoryInvalid, match=r"^ligne 3 : .* diffèrent par le nom, la langue"):
        read_contacts(lines)


def test_a_later_line_may_repeat_or_leave_out_name_language_and_site() -> None:
    first = "p-1,A,fr,sms,+33612345678,,S1"
    again = "p-1,A,fr,email,a@example.org,,S1"
    [person] = read_contacts([f"{HEAD},site", first, again, "p-1,,,voice,+33612345678,,"])
    assert (person.name, person.language, person.site) == ("A", "fr", "S1")
    assert [p.channel for p in person.points] == [Channel.SMS, Channel.EMAIL, Channel.VOICE]


@pytest.mark.parametrize(
    "person", ["Jean Dupont", "Zoé", "a@example.org", " p-1", "contact:Le Gaz"]
)
def test_a_name_is_no_token(person: str) -> None:
    with pytest.raises(DirectoryInvalid, match=r"^ligne 2 : person, un identifiant est attendu"):
        read_contacts([HEAD, f"{person},A,,sms,+33612345678,"])


def test_the_tokens_of_agents_and_partners_are_read() -> None:
    tokens = ["p-1", "Jean.Dupont_2", "00123", "contact:grdf-92"]
    contacts = read_contacts([HEAD, *(f"{token},A,,,," for token in tokens)])
    assert [contact.person for contact in contacts] == tokens


def test_missing_columns_are_named() -> None:
    with pytest.raises(DirectoryInvalid, match="address, verified_at"):
        read_contacts(["person,name,language,channel", "p-1,,,sms"])


def test_a_column_that_nothing_reads_is_named() -> None:
    """A mistyped «site» was ignored, and its people belonged to no site."""
    with pytest.raises(DirectoryInvalid, match="ligne 1 : colonnes inconnues : sit"):
        read_contacts([f"{HEAD},sit", "p-1,A,,sms,+33612345678,,S1"])


def test_a_cell_beyond_the_last_column_is_refused() -> None:
    with pytest.raises(DirectoryInvalid, match="ligne 2 : plus de cellules que de colonnes"):
        read_contacts([HEAD, "p-1,Dupont, Anne,fr,sms,+33612345678,2026-11-01"])


@pytest.mark.parametrize("row", ["p-1,Anne", "p-1,Anne,fr,sms,+33612345678", "p-1"])
def test_a_line_with_too_few_cells_makes_no_person_without_a_number(row: str) -> None:
    with pytest.raises(DirectoryInvalid, match=r"^ligne 3 : moins de cellules que de colonnes"):
        read_contacts([HEAD, "p-0,A,,sms,+33612345678,", row])


def test_the_same_line_twice_makes_one_contact_point() -> None:
    row = "p-1,A,,sms,06 12 34 56 78,2026-11-01"
    [person] = read_contacts([HEAD, row, row.replace("06 12 34 56 78", "+33612345678")])
    assert [p.address for p in person.points] == ["+33612345678"]


def test_a_contact_point_with_two_dates_is_refused() -> None:
    row = "p-1,A,,sms,+33612345678,"
    with pytest.raises(DirectoryInvalid, match=r"^ligne 3 : address, .* figure déjà plus haut"):
        read_contacts([HEAD, row, row + "2026-11-01"])


def test_more_contact_points_than_a_person_may_have_are_refused_by_line() -> None:
    rows = [f"p-1,A,,sms,+336123456{n},2026-11-01" for n in range(10, 31)]
    with pytest.raises(
        DirectoryInvalid, match=r"^ligne 22 : address, 20 moyens de contact au plus"
    ):
        read_contacts([HEAD, *rows])


def test_a_column_that_stands_twice_is_named() -> None:
    with pytest.raises(DirectoryInvalid, match=r"^ligne 1 : colonnes en double : address"):
        read_contacts([f"{HEAD},address", "p-1,A,,sms,+33612345678,,+33698765432"])


def test_a_site_that_does_not_exist_is_refused_with_its_line() -> None:
    rows = [f"{HEAD},site", "p-1,A,,sms,+33612345678,,S1", "p-2,B,,sms,+33612345679,,S9"]
    with pytest.raises(DirectoryInvalid, match=r"^ligne 3 : site, ce site n’existe pas"):
        read_contacts(rows, {"S1"})


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
    with pytest.raises(DirectoryInvalid, match="ligne 2 : address, ") as caught:
        read_contacts([HEAD, f"p-1,A,,{point},2026-11-01"])
    assert point.split(",")[1] not in str(caught.value)


def test_quiet_hours_may_end_at_midnight() -> None:
    ((point,),) = (
        c.points for c in read_contacts([f"{HEAD},quiet", "p-1,A,,sms,+33612345678,,21:00-24:00"])
    )
    assert point.quiet == (21 * 60, DAY_MIN)


@pytest.mark.parametrize(
    ("cells", "fault"),
    [
        ("soon,", "ligne 2 : verified_at, une date est attendue, 2026-11-01"),
        (",late", "ligne 2 : quiet, des heures sont attendues, 21:00-07:00"),
        (",21:00-25:00", "ligne 2 : quiet, des heures sont attendues, 21:00-07:00"),
    ],
)
def test_a_wrong_date_and_wrong_hours_are_named_apart(cells: str, fault: str) -> None:
    with pytest.raises(DirectoryInvalid) as caught:
        read_contacts([f"{HEAD},quiet", f"p-1,A,,sms,+33612345678,{cells}"])
    assert str(caught.value) == fault
