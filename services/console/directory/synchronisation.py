"""Compare the directory with a source of people, and merge the two. Pure.

A source knows addresses; the directory also knows days of verification, quiet hours and browsers.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from schemas.people.directory import Contact, ContactPoint
from schemas.reference import CONTACT_TOKEN_PREFIX
from schemas.words import Channel


@dataclass(frozen=True, slots=True)
class DirectorySource:
    """People of a source, and the fields that it decides."""

    people: tuple[Contact, ...]
    channels: frozenset[Channel]
    decides_language: bool = True
    faulty: frozenset[str] = frozenset()
    """Tokens of entries that could not be read: these people are not absent."""
    faulty_channels: Mapping[str, frozenset[Channel]] = field(default_factory=dict)
    """Token → channels with an address that could not be read: those of the directory stay."""


@dataclass(frozen=True, slots=True)
class SynchronisationPlan:
    """People to write, and tokens by outcome; absent people stay."""

    new_contacts: tuple[Contact, ...]
    changed_contacts: tuple[Contact, ...]
    same: tuple[str, ...]
    absent: tuple[str, ...]

    @property
    def contacts_to_write(self) -> tuple[Contact, ...]:
        return self.new_contacts + self.changed_contacts

    @property
    def known_count(self) -> int:
        return len(self.changed_contacts) + len(self.same) + len(self.absent)


def plan_synchronisation(
    source: DirectorySource, tokens: Iterable[str], get_known: Callable[[str], Contact | None]
) -> SynchronisationPlan:
    """Plan the changes that make the directory, with these tokens, follow a source.

    Partners (`contact:<id>`) belong to the territory and are left alone.
    """
    new_contacts, changed_contacts, same = list[Contact](), list[Contact](), list[str]()
    for contact in source.people:
        existing_contact = get_known(contact.person)
        if existing_contact is None:
            new_contacts.append(contact)
            continue
        merged_contact = merge_contact(existing_contact, contact, source)
        if merged_contact == existing_contact:
            same.append(contact.person)
        else:
            changed_contacts.append(merged_contact)
    present = {one.person for one in source.people} | source.faulty
    absent = sorted(
        token
        for token in tokens
        if token not in present and not token.startswith(CONTACT_TOKEN_PREFIX)
    )
    return SynchronisationPlan(
        tuple(new_contacts), tuple(changed_contacts), tuple(same), tuple(absent)
    )


def merge_contact(contact: Contact, entry: Contact, source: DirectorySource) -> Contact:
    """Merge an entry of a source into the contact that is known.

    An address that stays keeps its day of verification and quiet hours. Channels that the source
    does not decide stay, e.g. the browsers of the person.
    """
    proofs: dict[tuple[Channel, str], ContactPoint] = {
        (point.channel, point.address): point for point in contact.points
    }
    entry_keys = {(point.channel, point.address) for point in entry.points}
    points = [
        _keep_proof(point, proofs.get((point.channel, point.address))) for point in entry.points
    ]
    read_channels = source.channels - source.faulty_channels.get(entry.person, frozenset())
    others = [
        point
        for key, point in proofs.items()
        if point.channel not in read_channels and key not in entry_keys
    ]
    return contact.model_copy(
        update={
            "name": entry.name or contact.name,
            "language": entry.language if source.decides_language else contact.language,
            "site": entry.site or contact.site,
            "points": tuple(points + others),
        }
    )


def _keep_proof(point: ContactPoint, existing_point: ContactPoint | None) -> ContactPoint:
    if existing_point is None:
        return point
    return point.model_copy(
        update={
            "verified_at": point.verified_at or existing_point.verified_at,
            "quiet": point.quiet or existing_point.quiet,
        }
    )


def select_file_source(people: Iterable[Contact]) -> DirectorySource:
    """Return the source of a file: it decides the channels that occur in it."""
    contacts = tuple(people)
    return DirectorySource(contacts, frozenset(p.channel for one in contacts for p in one.points))
