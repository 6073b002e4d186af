"""Passkeys with a device made of a key pair, to forge every step.

Real devices are in tests/browser.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore, create_principal
from services.runtime.identity.passkeys import Passkeys, RelyingParty
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Account, Principal
from services.runtime.identity.sessions import FREE_FAILURES, Sessions
from tests.keyed import create_memory_access

HERE = RelyingParty.of("localhost:8092")


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


@dataclass
class Device:
    """An authenticator as WebAuthn level 3 describes it (6.1, 6.5): ES256, no attestation."""

    origin: str = "http://localhost:8092"
    host: str = "localhost"
    verified: bool = True
    count: int = 0
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    id: bytes = field(default_factory=lambda: secrets.token_bytes(16))

    def _client(self, kind: str, challenge: str) -> bytes:
        return json.dumps(
            {"type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": False}
        ).encode()

    def _authenticator(self, more: bytes = b"", flags: int = 0) -> bytes:
        self.count += 1
        marks = 0x01 | (0x04 if self.verified else 0) | flags
        return (
            hashlib.sha256(self.host.encode()).digest()
            + bytes([marks])
            + self.count.to_bytes(4, "big")
            + more
        )

    def create(self, options: dict[str, Any]) -> dict[str, Any]:
        numbers = self.key.public_key().public_numbers()
        cose = cbor2.dumps(
            {
                1: 2,
                3: -7,
                -1: 1,
                -2: numbers.x.to_bytes(32, "big"),
                -3: numbers.y.to_bytes(32, "big"),
            }
        )
        data = self._authenticator(
            bytes(16) + len(self.id).to_bytes(2, "big") + self.id + cose, 0x40
        )
        response = {"clientDataJSON": b64(self._client("webauthn.create", options["challenge"]))}
        response["attestationObject"] = b64(
            cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        )
        return {
            "id": b64(self.id),
            "rawId": b64(self.id),
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
        }

    def get(self, options: dict[str, Any]) -> dict[str, Any]:
        client, data = self._client("webauthn.get", options["challenge"]), self._authenticator()
        signature = self.key.sign(data + hashlib.sha256(client).digest(), ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": b64(client),
            "authenticatorData": b64(data),
            "signature": b64(signature),
        }
        return {
            "id": b64(self.id),
            "rawId": b64(self.id),
            "type": "public-key",
            "response": response,
            "clientExtensionResults": {},
        }


@dataclass
class World:
    access: AccessStore
    sessions: Sessions
    keys: Passkeys
    person: Principal

    async def add(self, device: Device) -> None:
        await self.keys.add(
            self.person, device.create(self.keys.offer(self.person, HERE)), "téléphone", HERE
        )

    def account(self) -> Account:
        return self.access.all(Account)[0]


@pytest.fixture
async def world(tmp_path: Path) -> World:
    access = create_memory_access(tmp_path)
    sessions = Sessions(access)
    person = create_principal(Role.CELL)
    await access.add_account(person, "cellule")
    return World(access, sessions, Passkeys(access, sessions), person)


async def test_a_device_that_was_added_opens_a_session(world: World) -> None:
    device = Device()
    await world.add(device)
    session = world.keys.login(device.get(world.keys.ask(HERE)), HERE)
    assert session.principal == world.person
    assert world.sessions.read(session.cookie) == session
    (key,) = world.account().passkeys
    assert (key.label, key.sign_count, key.used_at is not None) == ("téléphone", 2, True)


async def test_a_used_challenge_opens_nothing(world: World) -> None:
    device = Device()
    await world.add(device)
    answer = device.get(world.keys.ask(HERE))
    world.keys.login(answer, HERE)
    with pytest.raises(ProblemError, match="login_failed"):
        world.keys.login(answer, HERE)
    with pytest.raises(ProblemError, match="login_failed"):
        Passkeys(world.access, world.sessions).login(answer, HERE)


@pytest.mark.parametrize(
    "device",
    [
        Device(origin="https://evil.example"),
        Device(host="evil.example"),
        Device(verified=False),
        Device(origin="http://localhost:8093"),
    ],
)
async def test_another_place_and_a_device_that_was_not_unlocked_are_refused(
    world: World, device: Device
) -> None:
    with pytest.raises(ProblemError, match="invalid"):
        await world.add(device)
    right = Device()
    await world.add(right)
    right.origin, right.host, right.verified = device.origin, device.host, device.verified
    with pytest.raises(ProblemError, match="login_failed"):
        world.keys.login(right.get(world.keys.ask(HERE)), HERE)


async def test_a_copied_key_a_foreign_key_and_foreign_challenges_are_refused(world: World) -> None:
    device = Device()
    await world.add(device)
    device.count = 0  # a copy that lags behind the original
    with pytest.raises(ProblemError, match="login_failed"):
        world.keys.login(device.get(world.keys.ask(HERE)), HERE)
    forged = Device(id=device.id, count=10)
    with pytest.raises(ProblemError, match="login_failed"):
        world.keys.login(forged.get(world.keys.ask(HERE)), HERE)
    for challenge in (
        b64(secrets.token_bytes(40)),
        world.keys.offer(world.person, HERE)["challenge"],
        "",
    ):
        with pytest.raises(ProblemError, match="login_failed"):
            world.keys.login(device.get({"challenge": challenge}), HERE)
    with pytest.raises(ProblemError, match="login_failed"):
        world.keys.login({"id": b64(device.id), "response": None}, HERE)
    device.count = 5
    assert world.keys.login(device.get(world.keys.ask(HERE)), HERE).principal == world.person


async def test_a_passkey_is_taken_back_and_a_closed_account_stays_closed(world: World) -> None:
    device, other = Device(), Device()
    await world.add(device)
    await world.add(other)
    with pytest.raises(ProblemError, match="conflict"):
        await world.add(other)
    await world.keys.remove(world.account(), b64(device.id))
    with pytest.raises(ProblemError, match="login_failed"):
        world.keys.login(device.get(world.keys.ask(HERE)), HERE)
    await world.access.set_enabled(world.person.id, enabled=False)
    with pytest.raises(ProblemError, match="login_failed"):
        world.keys.login(other.get(world.keys.ask(HERE)), HERE)


async def test_a_name_is_needed_and_only_this_machine_does_without_https() -> None:
    for host in ("127.0.0.1:8092", "[::1]:8092", "::1", "192.168.1.7", "", None, "a b"):
        with pytest.raises(ProblemError, match="passkey_needs_name"):
            RelyingParty.of(host)
    assert RelyingParty.of("vigie.example:8443") == RelyingParty(
        "vigie.example", ("https://vigie.example:8443",)
    )
    assert HERE.origins == ("https://localhost:8092", "http://localhost:8092")


async def test_guessing_by_others_does_not_lock_the_cell_out(world: World) -> None:
    """Guesses of others lock neither the account nor the address of the building."""
    device = Device()
    await world.add(device)
    account = await world.sessions.set_password(world.account(), "correct horse battery")
    browser = world.sessions.admit(world.person).device
    for n in range(2 * FREE_FAILURES):
        with pytest.raises(ProblemError):
            await world.sessions.login("cellule", "wrong", None, address="building")
        with pytest.raises(ProblemError):
            await world.sessions.login_with_code(f"AAAA-{n}", address="building")
    with pytest.raises(ProblemError, match="too_many_attempts"):
        await world.sessions.login(
            "cellule", "correct horse battery", None, address="building", device="forged"
        )
    assert await world.sessions.login(
        "cellule", "correct horse battery", None, address="building", device=browser
    )
    assert world.keys.login(device.get(world.keys.ask(HERE)), HERE)
    assert await world.sessions.login_with_code(
        await world.access.issue_code(account.id, expires_at=None), address="building"
    )
    for _ in range(FREE_FAILURES):
        with pytest.raises(ProblemError, match="login_failed"):
            await world.sessions.login(
                "cellule", "wrong", None, address="elsewhere", device=browser
            )
    with pytest.raises(ProblemError, match="too_many_attempts"):
        await world.sessions.login(
            "cellule", "correct horse battery", None, address="elsewhere", device=browser
        )
