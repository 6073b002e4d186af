"""Read people from an LDAP server: over TLS, page by page, read only."""

import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from ldap3 import ANONYMOUS, NONE, SIMPLE, SUBTREE, Connection, Server, Tls
from ldap3.core.exceptions import LDAPException
from pydantic import ValidationError

from schemas.people.directory import Contact, ContactPoint
from schemas.words import Channel
from services.cli.oncall.ldap_settings import CHANNELS, LdapSettings, parse_attributes
from services.console.directory.contact_file import AddressInvalid, normalize_address
from services.console.directory.synchronisation import DirectorySource

PAGE_SIZE: Final = 500
MAX_PEOPLE: Final = 100_000
_TIMEOUT_S: Final = 20
_TOKEN: Final = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class LdapUnavailable(RuntimeError):
    """Signal a server that gave no whole answer; nothing may be concluded from it."""


@dataclass(frozen=True, slots=True)
class EntryFault:
    """An entry that cannot be taken over: its DN, and the reason in French."""

    dn: str
    reason: str


def open_connection(settings: LdapSettings) -> Connection:
    """Open and bind a read-only connection; a server off this machine gets nothing without TLS.

    Raises LDAPException.
    """
    parts = urlsplit(settings.ldap_url)
    tls = Tls(
        validate=ssl.CERT_REQUIRED,
        ca_certs_file=str(settings.ldap_ca) if settings.ldap_ca else None,
    )
    is_encrypted = parts.scheme == "ldaps"
    server = Server(
        parts.hostname,
        port=parts.port or (636 if is_encrypted else 389),
        use_ssl=is_encrypted,
        tls=tls,
        get_info=NONE,
        connect_timeout=_TIMEOUT_S,
    )
    connection = Connection(
        server,
        user=settings.ldap_user or None,
        password=settings.ldap_password.get_secret_value() or None,
        authentication=SIMPLE if settings.ldap_user else ANONYMOUS,
        read_only=True,
        auto_referrals=False,
        raise_exceptions=True,
        receive_timeout=_TIMEOUT_S,
    )
    try:
        connection.open()
        if not is_encrypted and parts.hostname not in _LOOPBACK:
            connection.start_tls()
        connection.bind()
    except LDAPException:
        if connection.socket is not None:  # ldap3 leaves it open after a refused connection
            connection.socket.close()
        raise
    return connection


def read_people(settings: LdapSettings) -> tuple[DirectorySource, list[EntryFault]]:
    """Read all people and the faults of entries. Raises LdapUnavailable."""
    names = parse_attributes(settings.ldap_attributes)
    try:
        connection = open_connection(settings)
        try:
            entries = list(_list_entries(connection, settings, tuple(names.values())))
        finally:
            connection.unbind()
    except LDAPException as error:
        raise LdapUnavailable(f"{settings.ldap_url} : {type(error).__name__} {error}") from error
    return convert_entries(entries, names)


def _list_entries(
    connection: Connection, settings: LdapSettings, attributes: tuple[str, ...]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (DN, attributes) of each entry. Raises LDAPException, LdapUnavailable."""
    pages = connection.extend.standard.paged_search(
        settings.ldap_base,
        settings.ldap_filter,
        SUBTREE,
        attributes=list(dict.fromkeys(attributes)),
        paged_size=PAGE_SIZE,
        generator=True,
    )
    count = 0
    for entry in pages:
        if entry["type"] != "searchResEntry":
            continue
        count += 1
        if count > MAX_PEOPLE:
            raise LdapUnavailable(f"plus de {MAX_PEOPLE} personnes : restreignez le filtre")
        yield str(entry["dn"]), entry["attributes"]


def convert_entries(
    entries: Iterable[tuple[str, Mapping[str, Any]]], names: Mapping[str, str]
) -> tuple[DirectorySource, list[EntryFault]]:
    """Convert entries to people, and name each fault.

    An entry without a usable token, name or site is left out. Faulty addresses of other entries are
    left out.
    """
    people: dict[str, Contact] = {}
    faults: list[EntryFault] = []
    faulty: set[str] = set()
    faulty_channels: dict[str, frozenset[Channel]] = {}
    for dn, attributes in entries:
        values = {field: _list_values(attributes.get(name)) for field, name in names.items()}
        token = next(iter(values["person"]), "").casefold()
        try:
            points, refusals = _read_points(values)
            contact = _build_contact(token, values, points)
            if token in people:
                raise ValueError(f"jeton {token} déjà pris")
        except ValidationError as error:
            fields = ", ".join(str(one["loc"][0]) for one in error.errors())
            faults.append(EntryFault(dn, f"valeur impossible : {fields}"))
        except ValueError as error:
            faults.append(EntryFault(dn, str(error)))
        else:
            people[token] = contact
            faulty_channels[token] = frozenset(refusals)
            faults += [EntryFault(dn, f"{names[c]} : {reason}") for c, reason in refusals.items()]
            continue
        faulty.add(token)
    decided_channels = frozenset(channel for channel in CHANNELS if channel in names)
    contacts = tuple(people.values())
    return DirectorySource(
        contacts,
        decided_channels,
        "language" in names,
        frozenset(faulty - {""}),
        faulty_channels,
    ), faults


def _list_values(value: Any) -> list[str]:
    """Return the values of an attribute as texts, without empty ones."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    texts = (
        one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in values
    )
    return [text.strip() for text in texts if text.strip()]


def _read_points(
    values: Mapping[str, list[str]],
) -> tuple[tuple[ContactPoint, ...], dict[Channel, str]]:
    """Read the addresses of an entry; return also why those of a channel were refused."""
    points: dict[ContactPoint, None] = {}
    refusals: dict[Channel, str] = {}
    for channel in CHANNELS:
        for address in values.get(channel, ()):
            try:
                points[normalize_address(ContactPoint(channel=channel, address=address))] = None
            except AddressInvalid as error:
                refusals[channel] = error.fault.message["fr"]
    return tuple(points), refusals


def _build_contact(
    token: str, values: Mapping[str, list[str]], points: tuple[ContactPoint, ...]
) -> Contact:
    """Build a person. Raises ValueError and ValidationError."""
    if not _TOKEN.fullmatch(token):
        raise ValueError("aucun jeton utilisable")
    language = next(iter(values.get("language", ())), "fr")[:2].casefold()
    return Contact.model_validate(
        {
            "person": token,
            "name": next(iter(values.get("name", ())), None),
            "site": next(iter(values.get("site", ())), None),
            "language": "en" if language == "en" else "fr",
            "points": points,
        }
    )
