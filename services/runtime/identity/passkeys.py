"""Passkeys of local accounts (WebAuthn).

A passkey is a key in the person's device that the person unlocks there, so it is both factors at
once. No other server takes part: it works if only this machine and the device are left. A challenge
is signed and not stored. It is valid for one use within `CHALLENGE_MS`, in any process, even while
Kafka is away.
"""

import base64
import hmac
import ipaddress
import secrets
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import orjson
import structlog
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, bytes_to_base64url
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from schemas.base import MINUTE_MS
from services.runtime.http.problems import ProblemError, build_conflict, build_field_problem
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.principals import Account, EndedSession, Passkey, Principal
from services.runtime.identity.sessions import Session, Sessions
from services.runtime.process.machine import now_ms

CHALLENGE_MS: Final = 5 * MINUTE_MS
MAX_PASSKEYS: Final = 10
"""Greatest number of passkeys per account."""
_VERIFICATION_ERRORS: Final = (WebAuthnException, ValueError, KeyError, TypeError, AttributeError)
"""Exceptions that a forged answer may cause."""
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RelyingParty:
    """Host and origins of the person's browser. A passkey is bound to the name of the host."""

    host: str
    origins: tuple[str, ...]

    @classmethod
    def of(cls, host: str | None) -> "RelyingParty":
        """Return the place for the `Host` header of a request.

        Raises ProblemError `passkey_needs_name`: browsers have no passkeys for a bare address.
        """
        name = (host or "").rsplit(":", 1)[0] if not (host or "").endswith("]") else host or ""
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            if name and all(c.isalnum() or c in "-." for c in name):
                plain = (
                    (f"http://{host}",)
                    if name == "localhost" or name.endswith(".localhost")
                    else ()
                )
                return cls(name.lower(), (f"https://{host}", *plain))
        raise ProblemError("passkey_needs_name")


class Passkeys:
    """Passkey registration and login. One per process, on its `AccessStore` and `Sessions`."""

    def __init__(self, access: AccessStore, sessions: Sessions) -> None:
        self._access = access
        self._sessions = sessions

    def offer(self, principal: Principal, place: RelyingParty) -> dict[str, Any]:
        """Return the options for `navigator.credentials.create`."""
        account = self._account(principal)
        options = generate_registration_options(
            rp_id=place.host,
            rp_name="Vigie",
            user_name=account.login,
            user_id=principal.id.encode(),
            challenge=self._challenge(f"add:{principal.id}"),
            exclude_credentials=[
                PublicKeyCredentialDescriptor(id=base64url_to_bytes(k.id)) for k in account.passkeys
            ],
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED,
                user_verification=UserVerificationRequirement.REQUIRED,
            ),
        )
        option_values: dict[str, Any] = orjson.loads(options_to_json(options))
        return option_values

    async def add(
        self, principal: Principal, answer: dict[str, Any], label: str, place: RelyingParty
    ) -> Passkey:
        """Store a new passkey; all sessions of the account end.

        Raises ProblemError `invalid`, `conflict`, BrokerAway.
        """
        try:
            registration = verify_registration_response(
                credential=answer,
                expected_challenge=self._consume_challenge(answer, f"add:{principal.id}"),
                expected_rp_id=place.host,
                expected_origin=list(place.origins),
                require_user_verification=True,
            )
        except _VERIFICATION_ERRORS as error:
            log.info("passkey.refused", principal=principal.id, error=type(error).__name__)
            raise build_field_problem(
                "credential",
                "passkey",
                "la clé n’a pas pu être vérifiée",
                "the passkey could not be verified",
            ) from None
        account = self._account(principal)
        id = bytes_to_base64url(registration.credential_id)
        if len(account.passkeys) >= MAX_PASSKEYS or any(
            k.id == id for a in self._access.all(Account) for k in a.passkeys
        ):
            raise build_conflict(
                "Cette clé est déjà enregistrée, ou vous en avez trop : retirez-en une.",
                "This passkey is registered already, or you have too many: remove one.",
            )
        passkey = Passkey(
            id=id,
            host=place.host,
            public_key=bytes_to_base64url(registration.credential_public_key),
            sign_count=registration.sign_count,
            label=label,
            created_at=now_ms(),
        )
        await self._access.put(
            account.model_copy(
                update={"passkeys": (*account.passkeys, passkey), "epoch": account.epoch + 1}
            )
        )
        return passkey

    async def remove(self, account: Account, id: str) -> None:
        """Remove a passkey; all sessions of the account end.

        Raises ProblemError `not_found`, BrokerAway.
        """
        other_passkeys = tuple(k for k in account.passkeys if k.id != id)
        if len(other_passkeys) == len(account.passkeys):
            raise ProblemError("not_found")
        await self._access.put(
            account.model_copy(update={"passkeys": other_passkeys, "epoch": account.epoch + 1})
        )

    def ask(self, place: RelyingParty) -> dict[str, Any]:
        """Return the options for `navigator.credentials.get`.

        They need no user name: the device knows the owner of its key.
        """
        options = generate_authentication_options(
            rp_id=place.host,
            challenge=self._challenge("login"),
            user_verification=UserVerificationRequirement.REQUIRED,
        )
        option_values: dict[str, Any] = orjson.loads(options_to_json(options))
        return option_values

    def login(self, answer: dict[str, Any], place: RelyingParty) -> Session:
        """Open a session for the holder of a key. Raises ProblemError `login_failed`.

        Earlier failed logins do not delay it.
        """
        account, key = self._holder(str(answer.get("id")), place)
        principal = self._access.principal(account.id)
        try:
            assertion = verify_authentication_response(
                credential=answer,
                expected_challenge=self._consume_challenge(answer, "login"),
                expected_rp_id=place.host,
                expected_origin=list(place.origins),
                credential_public_key=base64url_to_bytes(key.public_key),
                credential_current_sign_count=key.sign_count,
                require_user_verification=True,
            )
        except _VERIFICATION_ERRORS as error:
            log.info("passkey.refused", principal=account.id, error=type(error).__name__)
            raise ProblemError("login_failed") from None
        if principal is None:
            raise ProblemError("login_failed")
        used = key.model_copy(update={"sign_count": assertion.new_sign_count, "used_at": now_ms()})
        self._access.note(
            account.model_copy(
                update={"passkeys": tuple(used if k.id == key.id else k for k in account.passkeys)}
            )
        )
        return self._sessions.admit(principal)

    def _holder(self, id: str, place: RelyingParty) -> tuple[Account, Passkey]:
        for account in self._access.all(Account):
            for key in account.passkeys:
                if key.id == id and key.host == place.host:
                    return account, key
        raise ProblemError("login_failed")

    def _account(self, principal: Principal) -> Account:
        """Return the person's account, or a new one with the principal's id.

        A person with only a code (the first administrator) gets the account with the first key.
        """
        return self._access.account_of(principal.id) or Account(id=principal.id, login=principal.id)

    def _challenge(self, purpose: str) -> bytes:
        body = secrets.token_bytes(16) + (now_ms() + CHALLENGE_MS).to_bytes(8, "big")
        return body + self._mac(purpose, body)

    def _consume_challenge(self, answer: dict[str, Any], purpose: str) -> bytes:
        """Return the challenge of an answer and mark it as used. Raises ValueError.

        It must be ours, for this purpose, in time and unused.
        """
        client_data = orjson.loads(base64url_to_bytes(answer["response"]["clientDataJSON"]))
        challenge = base64url_to_bytes(client_data["challenge"])
        body, mac = challenge[:24], challenge[24:]
        expires = int.from_bytes(body[16:], "big")
        id = f"challenge-{base64.b32encode(body[:16]).decode().rstrip('=')}"
        if (
            not hmac.compare_digest(mac, self._mac(purpose, body))
            or expires < now_ms()
            or self._access.is_session_closed(id)
        ):
            raise ValueError("not a challenge that may be answered")
        self._access.note(EndedSession(id=id, until=expires))
        return challenge

    def _mac(self, purpose: str, body: bytes) -> bytes:
        return blake2b(
            purpose.encode() + b"\0" + body,
            key=self._access.session_key,
            digest_size=16,
            person=b"passkey",
        ).digest()
