"""People are read from an LDAP server page by page, over TLS, and each faulty entry is named."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest
from ldap3 import MOCK_SYNC, NONE, SIMPLE, Connection, Server
from pydantic import ValidationError

from schemas.people.directory import ContactPoint
from schemas.words import Channel
from services.cli.oncall import ldap_source
from services.cli.oncall.ldap_settings import LdapSettings, parse_attributes
from services.cli.oncall.ldap_source import LdapUnavailable, convert_entries, read_people
from services.console.directory.synchronisation import merge_contact
from tests.certificates import make_certificate

BASE = "ou=agents,dc=example,dc=org"
ACCOUNT = "cn=vigie,dc=example,dc=org"
NAMES = parse_attributes("person=uid,name=displayName,email=mail,sms=mobile,site=l")


def make_settings(**changes: Any) -> LdapSettings:
    base_settings = {"ldap_url": "ldap://127.0.0.1:9", "ldap_base": BASE, "ldap_user": ACCOUNT}
    return LdapSettings(**(base_settings | {"ldap_password": "secret"} | changes))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Connection:
    """Return a bound connection to a server in memory, which `read_people` uses."""
    connection = Connection(
        Server("fake", get_info=NONE),
        user=ACCOUNT,
        password="secret",
        authentication=SIMPLE,
        client_strategy=MOCK_SYNC,
        raise_exceptions=True,
    )
    connection.strategy.add_entry(ACCOUNT, {"userPassword": "secret", "objectClass": "account"})
    connection.bind()
    monkeypatch.setattr(ldap_source, "open_connection", lambda _settings: connection)
    return connection


def add_person(server: Connection, uid: str, **attributes: Any) -> None:
    server.strategy.add_entry(
        f"uid={uid},{BASE}", {"uid": uid, "objectClass": "person"} | attributes
    )


def test_every_page_of_people_is_read(server: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ldap_source, "PAGE_SIZE", 2)
    for n in range(5):
        add_person(server, f"p{n}", mail=f"p{n}@example.org", mobile="06 12 34 56 78")
    source, faults = read_people(make_settings())
    assert faults == []
    assert sorted(one.person for one in source.people) == ["p0", "p1", "p2", "p3", "p4"]
    (sample,) = [one for one in source.people if one.person == "p3"]
    assert [(p.channel, p.address) for p in sample.points] == [
        (Channel.EMAIL, "p3@example.org"),
        (Channel.SMS, "+33612345678"),
    ]
    assert source.channels == {Channel.EMAIL, Channel.SMS, Channel.VOICE}
    assert not source.decides_language


def test_more_people_than_the_limit_are_no_answer(
    server: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ldap_source, "MAX_PEOPLE", 1)
    for uid in ("a", "b"):
        add_person(server, uid)
    with pytest.raises(LdapUnavailable, match="filtre"):
        read_people(make_settings())


def test_a_server_that_does_not_answer_or_refuses_gives_no_people() -> None:
    with pytest.raises(LdapUnavailable, match=r"ldap://127\.0\.0\.1:9"):
        read_people(make_settings())


@pytest.mark.parametrize(
    ("url", "steps"),
    [
        ("ldap://ldap.example.org", ["open", "start_tls", "bind"]),
        ("ldaps://ldap.example.org", ["open", "bind"]),
        ("ldap://127.0.0.1:1389", ["open", "bind"]),
    ],
)
def test_a_server_off_this_machine_gets_the_password_after_tls_only(
    monkeypatch: pytest.MonkeyPatch, url: str, steps: list[str]
) -> None:
    calls: list[str] = []
    servers: list[Server] = []

    class Recorded:
        socket = None

        def __init__(self, server: Server, **_options: Any) -> None:
            servers.append(server)

        def __getattr__(self, name: str) -> Any:
            return lambda: calls.append(name)

    monkeypatch.setattr(ldap_source, "Connection", Recorded)
    ldap_source.open_connection(make_settings(ldap_url=url))
    assert calls == steps
    (server,) = servers
    assert server.ssl is url.startswith("ldaps")
    assert server.tls.validate is ssl.CERT_REQUIRED


def test_a_server_with_an_untrusted_certificate_gets_no_password(tmp_path: Path) -> None:
    certificate, key = make_certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            accepted, _ = listening.accept()
            with accepted:
                try:
                    with context.wrap_socket(accepted, server_side=True) as wrapped:
                        received.append(wrapped.recv(1))
                except (ssl.SSLError, OSError):
                    return

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        with pytest.raises(LdapUnavailable, match="certificate"):
            read_people(make_settings(ldap_url=f"ldaps://127.0.0.1:{listening.getsockname()[1]}"))
        thread.join(10)
    assert received in ([], [b""])


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({}, "aucun jeton utilisable"),
        ({"uid": "a b"}, "aucun jeton utilisable"),
        ({"uid": "zoe"}, "jeton zoe déjà pris"),
        ({"uid": "b", "displayName": "x" * 300}, "valeur impossible : name"),
    ],
)
def test_an_entry_with_a_fault_is_named_and_left_out(
    attributes: dict[str, Any], reason: str
) -> None:
    entries = [("uid=zoe", {"uid": ["Zoe"], "mail": "zoe@example.org"}), ("cn=odd", attributes)]
    source, (fault,) = convert_entries(entries, NAMES)
    assert [one.person for one in source.people] == ["zoe"]
    assert fault.dn == "cn=odd"
    assert reason in fault.reason


def test_a_faulty_address_costs_a_person_no_other_one() -> None:
    """An extension of the exchange («4212») kept the mobile number of its person out, too."""
    entry = {"uid": "b", "mail": "b@example.org", "mobile": ["12", "06 12 34 56 78"]}
    source, (fault,) = convert_entries([("cn=odd", entry)], NAMES)
    assert fault.reason.startswith("mobile : un numéro de téléphone")
    (contact,) = source.people
    assert [p.address for p in contact.points] == ["b@example.org", "+33612345678"]
    proof = ContactPoint(channel=Channel.SMS, address="+33612345679", verified_at=7)
    before = contact.model_copy(update={"points": (proof,)})
    merged = merge_contact(before, contact, source)
    assert merged.points == (*contact.points, proof), "it may be right, and was read wrongly"


def test_values_may_be_bytes_lists_or_absent() -> None:
    source, faults = convert_entries(
        [("uid=a", {"uid": b"a", "displayName": ["Zoé", "Z."], "mail": [], "l": None})], NAMES
    )
    assert faults == []
    (zoe,) = source.people
    assert (zoe.name, zoe.points, zoe.site) == ("Zoé", (), None)


@pytest.mark.parametrize(
    "changes",
    [
        {"ldap_url": "http://example.org"},
        {"ldap_url": "ldap://user@example.org"},
        {"ldap_base": ""},
        {"ldap_attributes": "person"},
        {"ldap_attributes": "person=uid,phone=mobile"},
        {"ldap_attributes": "name=cn"},
    ],
)
def test_settings_that_cannot_work_are_refused(changes: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        make_settings(**changes)
