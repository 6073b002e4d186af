"""Links to answer without a login: authentic, personal, for a time, for one use."""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from pathlib import Path
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.identity.signed_links import (
    AnswerLink,
    AnswerLinks,
    LinkExpired,
    LinkInvalid,
    derive_answer_id,
)
from tests.unit.delivery.desk import T0

LINKS = AnswerLinks(b"k" * 32)
NOTIFICATION = "8f0f6a8e-0000-5000-8000-000000000001"


def link(**changes: object) -> AnswerLink:
    return AnswerLink(
        **{
            "realm": "92",
            "notification": NOTIFICATION,
            "person": "dgs",
            "expires_at": T0,
            **changes,
        }
    )  # type: ignore[arg-type]


@given(
    st.uuids(),
    st.sampled_from(["92", "92~ex-7", "2A"]),
    st.text(min_size=1, max_size=64),
    st.integers(0, 4_000_000_000),
)
def test_a_token_returns_its_content(
    notification: object, realm: str, person: str, expires_s: int
) -> None:
    made = AnswerLink(realm, str(notification), person, expires_s * 1000)
    assert LINKS.read(LINKS.token(made), made.expires_at) == made


def test_a_token_fits_into_a_text_message() -> None:
    token = LINKS.token(link(person="dir-solidarites-s"))
    assert len(token) <= 80
    assert token.replace("-", "").replace("_", "").isalnum()


@given(st.integers(0, 200), st.integers(1, 255))
def test_a_changed_token_is_refused(place: int, change: int) -> None:
    token = LINKS.token(link())
    raw = bytearray(urlsafe_b64decode(token + "=="))
    raw[place % len(raw)] ^= change
    with pytest.raises(LinkInvalid):
        LINKS.read(urlsafe_b64encode(raw).decode().rstrip("="), T0)


@pytest.mark.parametrize("person", ["dgs", "dg", "d"])
def test_a_token_is_written_in_one_way(person: str) -> None:
    """Another spelling of the same bytes would be another answer of one link."""
    token = LINKS.token(link(person=person))
    last = [token[:-1] + chr(c) for c in range(33, 127) if chr(c) != token[-1]]
    within = [token[:9] + c + token[9:] for c in "=%.! \n+/"]
    for other in (
        *last,
        *within,
        f"{token}=",
        f"{token}==",
        token.replace("-", "+").replace("_", "/") + "=",
    ):
        with pytest.raises(LinkInvalid):
            LINKS.read(other, T0)
    assert LINKS.read(token, T0).person == person


@pytest.mark.parametrize("token", ["", "a", "é", "AAAA", "x" * 4000, "../..", "AAAAAAAA" * 12])
def test_garbage_is_refused(token: str) -> None:
    with pytest.raises(LinkInvalid):
        LINKS.read(token, T0)


def test_a_token_of_another_installation_is_refused() -> None:
    with pytest.raises(LinkInvalid):
        AnswerLinks(b"x" * 32).read(LINKS.token(link()), T0)


def test_an_expired_token_is_reported_as_expired() -> None:
    token = LINKS.token(link())
    with pytest.raises(LinkExpired):
        LINKS.read(token, T0 + 1)


def test_every_process_of_an_installation_reads_the_others_tokens(tmp_path: Path) -> None:
    token = AnswerLinks.open(tmp_path).token(link())
    assert AnswerLinks.open(tmp_path).read(token, T0) == link()
    assert (tmp_path / "master.key").stat().st_mode & 0o777 == 0o600


def test_a_token_answers_once_with_any_button_and_tokens_differ() -> None:
    one, other = LINKS.token(link()), LINKS.token(link(notification=str(uuid4())))
    assert derive_answer_id(one) == derive_answer_id(one)
    assert derive_answer_id(one) != derive_answer_id(other)
