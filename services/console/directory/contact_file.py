"""Read people and their contact points from a CSV file. Rule D58."""

import csv
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from itertools import chain
from typing import Any, Final

from pydantic import ValidationError

from schemas.catalogue.channels import CHANNELS
from schemas.oncall import DAY_MIN, NoteReachability
from schemas.people.directory import (
    REALM_PREFIX,
    Contact,
    ContactPoint,
    is_allowed_url,
    normalize_dialled_number,
)
from schemas.reference import CONTACT_TOKEN_PREFIX
from services.console.exports.line_faults import LineFault, TableInvalid
from services.console.exports.tables import unescape_formula
from services.runtime.http.problems import FieldFault, build_fault, convert_fault

COLUMNS: Final = ("person", "name", "language", "channel", "address", "verified_at")
OPTIONAL_COLUMNS: Final = ("site", "quiet")
PEOPLE_PER_MESSAGE: Final = 200
"""People per message to the deciders."""
MAX_POINTS: Final = 20
"""Contact points of a person."""
_MAIL_PATTERN: Final = re.compile(r"[^@\s]+@[^@\s]+")
_NO_NUMBER: Final = build_fault(
    "address",
    "no_number",
    "un numéro de téléphone est attendu, 06 12 34 56 78 ou +33612345678",
    "a telephone number, 06 12 34 56 78 or +33612345678, is expected",
)
_NO_MAIL: Final = build_fault(
    "address",
    "no_mail",
    "une adresse de courriel est attendue, nom@exemple.fr",
    "a mail address, name@example.org, is expected",
)
_NO_URL: Final = build_fault(
    "address", "no_url", "une adresse https:// est attendue", "an https:// address is expected"
)
_NO_TIME: Final = build_fault(
    "verified_at",
    "no_time",
    "une date est attendue, 2026-11-01",
    "a date, 2026-11-01, is expected",
)
_NO_HOURS: Final = build_fault(
    "quiet",
    "no_hours",
    "des heures sont attendues, 21:00-07:00",
    "hours, 21:00-07:00, are expected",
)
_OTHER_PERSON: Final = build_fault(
    "name",
    "other_person",
    "les lignes de cet identifiant diffèrent par le nom, la langue ou le site : "
    "est-ce une autre personne ?",
    "the lines of this token differ in name, language or site: is it another person?",
)
_SURPLUS: Final = build_fault(
    "",
    "surplus_cells",
    "plus de cellules que de colonnes : un texte avec un séparateur se met entre guillemets",
    "more cells than columns: a text with a separator stands in quotation marks",
)
_MISSING_CELLS: Final = build_fault(
    "",
    "missing_cells",
    "moins de cellules que de colonnes : une cellule vide garde son séparateur",
    "fewer cells than columns: an empty cell keeps its separator",
)
_OTHER_POINT: Final = build_fault(
    "address",
    "other_point",
    "ce moyen de contact figure déjà plus haut avec une autre date ou d’autres heures de silence",
    "this contact point stands above with another date or other quiet hours",
)
_TOO_MANY_POINTS: Final = build_fault(
    "address",
    "too_many_points",
    f"{MAX_POINTS} moyens de contact au plus par personne",
    f"at most {MAX_POINTS} contact points per person",
)
_UNKNOWN_SITE: Final = build_fault(
    "site",
    "unknown",
    "ce site n’existe pas dans les données de référence",
    "this site is not in the reference data",
)
_RESERVED: Final = build_fault(
    "person",
    "reserved",
    "l’identifiant d’une personne ne peut pas commencer par « realm: »",
    "the token of a person cannot begin with “realm:”",
)
_TOKEN: Final = re.compile(rf"({CONTACT_TOKEN_PREFIX})?[A-Za-z0-9][A-Za-z0-9._-]*")
NO_TOKEN: Final = build_fault(
    "person",
    "no_token",
    "un identifiant est attendu, non un nom : lettres sans accent, chiffres, « . », « _ » et « - »",
    "a token is expected, not a name: unaccented letters, digits, “.”, “_” and “-”",
)


class DirectoryInvalid(TableInvalid):
    """Signal a file of contacts that cannot be imported."""


class LineInvalid(ValueError):
    """Signal a line that cannot be imported."""

    def __init__(self, fault: FieldFault) -> None:
        super().__init__(fault.message["en"])
        self.fault = fault


class AddressInvalid(LineInvalid):
    """Signal an address that nothing would reach."""


@dataclass(slots=True)
class _People:
    """The people of the lines read so far."""

    sites: Collection[str] | None
    heads: dict[str, tuple[str | None, str, str | None]] = field(default_factory=dict)
    points: dict[str, list[ContactPoint]] = field(default_factory=dict)

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a line. Raises LineInvalid and ValidationError."""
        person = row["person"]
        if person.startswith(REALM_PREFIX):
            raise LineInvalid(_RESERVED)
        if person and not is_token(person):
            raise LineInvalid(NO_TOKEN)
        point = _read_point(row)
        head = _read_head(row)
        if head[2] is not None and self.sites is not None and head[2] not in self.sites:
            raise LineInvalid(_UNKNOWN_SITE)
        if _is_other_person(row, self.heads.setdefault(person, head)):
            raise LineInvalid(_OTHER_PERSON)
        points = self.points.setdefault(person, [])
        if point is None or point in points:
            return
        if any((p.channel, p.address) == (point.channel, point.address) for p in points):
            raise LineInvalid(_OTHER_POINT)
        if len(points) == MAX_POINTS:
            raise LineInvalid(_TOO_MANY_POINTS)
        points.append(point)

    def build(self) -> list[Contact]:
        return [
            Contact.model_validate(
                {
                    "person": person,
                    "name": name,
                    "language": language,
                    "site": site,
                    "points": self.points[person],
                }
            )
            for person, (name, language, site) in self.heads.items()
        ]


def is_token(person: str) -> bool:
    """Return whether a cell is the token of a person or a partner: logs show it, never a name."""
    return _TOKEN.fullmatch(person) is not None


def read_contacts(lines: Iterable[str], sites: Collection[str] | None = None) -> list[Contact]:
    """Read contacts from CSV: one line per contact point, in order of preference.

    Columns: `COLUMNS`, optionally `site` and `quiet` (`21:00-07:00`), separated by commas or, as an
    export writes them, by semicolons. A column without a title has to be empty. A later line of a
    person may leave name, language and site empty, but not change them; the same line twice counts
    once. `sites`: the known ones, if they are known. Raises DirectoryInvalid.
    """
    rows = iter(lines)
    titles = next(rows, "")
    separator = ";" if ";" in titles else ","
    reader = csv.DictReader(chain((titles,), rows), delimiter=separator)
    if title_fault := _find_title_fault(reader.fieldnames or ()):
        raise DirectoryInvalid([LineFault(1, title_fault)])
    people = _People(sites)
    faults: list[LineFault] = []
    for line in reader:
        try:
            people.add(_read_cells(line, reader.restkey))
        except LineInvalid as error:
            faults.append(LineFault(reader.line_num, error.fault))
        except ValidationError as error:
            row_faults = map(convert_fault, error.errors(include_url=False, include_input=False))
            faults += [LineFault(reader.line_num, one) for one in row_faults]
    if faults:
        raise DirectoryInvalid(faults)
    return people.build()


def _read_cells(line: Mapping[Any, Any], surplus: Any) -> dict[str, str]:
    """Return the cells of a line under their titles. Raises LineInvalid."""
    if line.get("") or any(line.get(surplus) or ()):
        raise LineInvalid(_SURPLUS)
    if any(value is None for name, value in line.items() if name):
        raise LineInvalid(_MISSING_CELLS)
    return {name: unescape_formula(value) for name, value in line.items() if name}


def build_announcements(contacts: Iterable[Contact]) -> Iterator[NoteReachability]:
    """Yield the commands that tell a live realm how people can be reached.

    They hold channels, proofs and quiet hours, never an address. Partners (`contact:<id>`) are
    never called by an escalation.
    """
    rows = [c.reach() for c in contacts if not c.person.startswith(CONTACT_TOKEN_PREFIX)]
    for start in range(0, len(rows), PEOPLE_PER_MESSAGE):
        yield NoteReachability(
            author="system:directory",
            role="admin",
            people=tuple(rows[start : start + PEOPLE_PER_MESSAGE]),
        )


@dataclass(frozen=True, slots=True)
class DirectoryChange:
    """The difference between a file and the directory, in people."""

    added: int
    changed: int
    same: int


def compare_contacts(
    contacts: Iterable[Contact], get_known: Callable[[str], Contact | None]
) -> DirectoryChange:
    """Count the people that an import would add, change and leave as they are."""
    added_count = changed_count = same = 0
    for contact in contacts:
        existing_contact = get_known(contact.person)
        if existing_contact is None:
            added_count += 1
        elif existing_contact == contact:
            same += 1
        else:
            changed_count += 1
    return DirectoryChange(added_count, changed_count, same)


def _read_point(row: Mapping[str, Any]) -> ContactPoint | None:
    """Read the contact point of a line. Raises ValidationError and LineInvalid."""
    verified_at = _parse_day(row["verified_at"])
    quiet = _parse_quiet_hours(row.get("quiet") or "")
    if not (row["channel"] or row["address"]):
        return None
    values = {
        "channel": row["channel"],
        "address": (row["address"] or "").strip(),
        "verified_at": verified_at,
        "quiet": quiet,
    }
    return normalize_address(ContactPoint.model_validate(values))


def _read_head(row: Mapping[str, Any]) -> tuple[str | None, str, str | None]:
    """Read name, language and site of a line. Raises ValidationError."""
    head = (row["name"] or None, row["language"] or "fr", row.get("site") or None)
    name, language, site = head
    Contact.model_validate(
        {"person": row["person"], "name": name, "language": language, "site": site}
    )
    return head


def _is_other_person(row: Mapping[str, Any], head: tuple[str | None, str, str | None]) -> bool:
    """Return whether a line differs from the head of its person, so the token may be a slip.

    The line's number would go to the person above, and a call to the wrong one.
    """
    values = (row["name"], row["language"], row.get("site"))
    return any(value and value != first for value, first in zip(values, head, strict=True))


def _find_title_fault(titles: Sequence[str]) -> FieldFault | None:
    """Return columns that are missing, else those that stand twice, or that nothing reads."""
    if missing := sorted(set(COLUMNS) - set(titles)):
        names = ", ".join(missing)
        return build_fault(
            "", "missing_columns", f"colonnes absentes : {names}", f"missing columns {names}"
        )
    if double := sorted(name for name, count in Counter(titles).items() if name and count > 1):
        names = ", ".join(double)
        return build_fault(
            "", "double_columns", f"colonnes en double : {names}", f"columns twice: {names}"
        )
    if unknown := sorted({*titles} - {"", *COLUMNS, *OPTIONAL_COLUMNS}):
        names = ", ".join(unknown)
        return build_fault(
            "", "unknown_columns", f"colonnes inconnues : {names}", f"unknown columns {names}"
        )
    return None


def normalize_address(point: ContactPoint) -> ContactPoint:
    """Normalize the address of a contact point.

    Raises AddressInvalid, so that a wrong address is found at import and not during a call.
    """
    match CHANNELS[point.channel].address:
        case "telephone":
            if (number := normalize_dialled_number(point.address)) is None:
                raise AddressInvalid(_NO_NUMBER)
            return point.model_copy(update={"address": number})
        case "mail" if _MAIL_PATTERN.fullmatch(point.address) is None:
            raise AddressInvalid(_NO_MAIL)
        case "url" if not is_allowed_url(point.address):
            raise AddressInvalid(_NO_URL)
        case _:
            return point


def _parse_quiet_hours(text: str) -> tuple[int, int] | None:
    """Parse `21:00-07:00` to local minutes. Raises LineInvalid."""
    if not text:
        return None
    try:
        start, end = (_parse_minute(part.strip()) for part in text.split("-"))
    except ValueError as error:
        raise LineInvalid(_NO_HOURS) from error
    return start, end


def _parse_day(text: str) -> int | None:
    """Parse the date of a proof, in UTC without an offset, to milliseconds. Raises LineInvalid."""
    if not text:
        return None
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise LineInvalid(_NO_TIME) from error
    return int((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _parse_minute(text: str) -> int:
    if text == "24:00":
        return DAY_MIN
    at = time.fromisoformat(text)
    return at.hour * 60 + at.minute
