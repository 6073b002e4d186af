"""An invitation opens unchanged only, writes shared secrets only, and counts once."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.appliance.cluster.invitation import (
    SHARED_SECRETS,
    Invitation,
    InvitationInvalid,
    collect_secrets,
    open_invitation,
    seal_invitation,
)
from services.runtime.process.cluster import Machine
from services.runtime.secrets.signing import PRIVATE_FILE, PUBLIC_FILE

FIRST = Machine(1, "10.0.0.1:9093", "10.0.0.1:9094")
MASTER_KEY = bytes(range(32))


def make_invitation(**changes: object) -> Invitation:
    content = {
        "id": "a1",
        "expires_at": 2_000,
        "cluster": "Kp9",
        "number": 2,
        "machines": (FIRST,),
        "secrets": {"master.key": MASTER_KEY},
    }
    return Invitation(**(content | changes))  # type: ignore[arg-type]


def test_an_invitation_opens_as_it_was_made() -> None:
    made = make_invitation()
    assert open_invitation(seal_invitation(made)) == made


def test_line_ends_of_a_mail_do_no_harm() -> None:
    text = seal_invitation(make_invitation())
    broken = "\n".join(text[at : at + 70] for at in range(0, len(text), 70))
    assert open_invitation(f"  {broken}\r\n") == make_invitation()


def test_the_text_shows_no_key() -> None:
    text = seal_invitation(make_invitation(secrets={"admin.token": b"vg_plain-token"}))
    assert "vg_plain-token" not in text


@pytest.mark.parametrize("part", [1, 2])
def test_a_changed_invitation_is_refused(part: int) -> None:
    parts = seal_invitation(make_invitation()).split(".")
    middle = len(parts[part]) // 2
    letter = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + letter + parts[part][middle + 1 :]
    with pytest.raises(InvitationInvalid, match="cut off or was changed"):
        open_invitation(".".join(parts))


@pytest.mark.parametrize("end", [-1, -40])
def test_an_invitation_that_was_cut_off_is_refused(end: int) -> None:
    with pytest.raises(InvitationInvalid, match="cut off or was changed"):
        open_invitation(seal_invitation(make_invitation())[:end])


@pytest.mark.parametrize("text", ["", "hello", "vigie2.a.b", "vigie1.a"])
def test_another_text_is_refused(text: str) -> None:
    with pytest.raises(InvitationInvalid, match="no invitation"):
        open_invitation(text)


@pytest.mark.parametrize(
    "name",
    ["../run/status.json", "keyring.db", "feeds/../x", "feeds/.hidden", "cluster.json", "/x"],
)
def test_an_invitation_writes_shared_secrets_alone(name: str) -> None:
    text = seal_invitation(make_invitation(secrets={name: b"x"}))
    with pytest.raises(InvitationInvalid):
        open_invitation(text)


def test_shared_files_travel_and_own_files_stay(tmp_path: Path) -> None:
    for name in (*SHARED_SECRETS, "keyring.db", "cluster.json", "cluster-broker.pem"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "feeds").mkdir()
    (tmp_path / "feeds" / "enedis").write_bytes(b"key")
    secrets = collect_secrets(tmp_path)
    assert set(secrets) == {*SHARED_SECRETS, "feeds/enedis"}
    assert secrets["master.key"] == b"master.key"
    assert secrets["feeds/enedis"] == b"key"


def test_an_invitation_before_the_first_signature_takes_the_key_along(tmp_path: Path) -> None:
    secrets = collect_secrets(tmp_path)
    assert secrets == {name: (tmp_path / name).read_bytes() for name in (PRIVATE_FILE, PUBLIC_FILE)}
    assert collect_secrets(tmp_path) == secrets
