"""Login through the organisation's identity provider (OpenID Connect), if there is one.

Vigie never needs it, because the provider may be down in the crisis. The provider only confirms the
identity; the role is that of the local account. At first use a claim names the account. From then
on the account belongs to that subject of that issuer, even if the claim changes. An attempt lies
sealed in the browser, for ten minutes and one use. Nothing is stored here, and it works while Kafka
is away.
"""

import base64
import hmac
import secrets
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson
import structlog
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import (
    TWO_FACTOR_ROLES,
    AccessStore,
    LoginTaken,
    create_principal,
)
from services.runtime.identity.oidc_provider import NotConfirmed, OidcProvider, ProviderAway
from services.runtime.identity.oidc_settings import (
    ATTEMPT_S,
    COOKIE,
    LOGGED_OUT_PATH,
    LOGOUT_COOKIE,
    RETURN_PATH,
    OidcSettings,
)
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Account, EndedSession, Principal, is_valid_login
from services.runtime.identity.sessions import Session, Sessions
from services.runtime.process.machine import now_ms
from services.runtime.secrets.keyring import MasterKey, decrypt, encrypt

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """A login that has begun: the cookie for the browser, and its next address."""

    cookie: str
    location: str


@dataclass(frozen=True, slots=True)
class OidcSession:
    """A login that the provider confirmed: the session, and the page to show."""

    session: Session
    next: str
    logout_cookie: str | None
    """Cookie for a logout at the provider; None if only Vigie's session ends."""


class OidcLogin:
    """Login through the provider. One per process, on its `AccessStore` and `Sessions`."""

    def __init__(
        self, settings: OidcSettings, access: AccessStore, sessions: Sessions, master: MasterKey
    ) -> None:
        self.name = settings.oidc_name
        self._settings = settings
        self._access, self._sessions = access, sessions
        self._provider = OidcProvider(
            settings.oidc_issuer,
            settings.oidc_client_id,
            settings.oidc_client_secret.get_secret_value(),
        )
        self._key = master.derive_key("oidc.attempts")

    async def close(self) -> None:
        await self._provider.close()

    # ── going there ────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin(self, origin: str, next: str) -> LoginAttempt:
        """Begin a login. Raises ProblemError `oidc_away`.

        `origin` is the address under which the browser reached us, `next` the page after the login.
        """
        try:
            description = await self._provider.get_description()
        except ProviderAway as away:
            raise self._away(away) from None
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return_url = (self._settings.public_url.rstrip("/") or origin) + RETURN_PATH
        attempt_values = {
            "state": state,
            "nonce": nonce,
            "verifier": verifier,
            "back": return_url,
            "next": next,
            "until": now_ms() + 1000 * ATTEMPT_S,
        }
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self._provider.client_id,
                "redirect_uri": return_url,
                "scope": self._settings.oidc_scope,
                "state": state,
                "nonce": nonce,
                "code_challenge": create_s256_code_challenge(verifier),
                "code_challenge_method": "S256",
            }
        )
        ciphertext = base64.urlsafe_b64encode(
            encrypt(self._key, orjson.dumps(attempt_values), COOKIE.encode())
        ).decode()
        return LoginAttempt(
            ciphertext,
            description.authorization + ("&" if "?" in description.authorization else "?") + query,
        )

    # ── coming back ────────────────────────────────────────────────────────────────────────────────────────────────

    async def finish(self, cookie: str | None, answer: dict[str, str]) -> OidcSession:
        """Return a session and the next page from the query of the provider's redirect.

        Raises ProblemError `oidc_refused`, `oidc_unknown`, `oidc_unapproved`, `oidc_away`.
        """
        try:
            login_attempt = self._attempt(cookie, answer)
            tokens = await self._provider.exchange(
                answer["code"], login_attempt["verifier"], login_attempt["back"]
            )
            claims = await self._provider.verify_claims(tokens, login_attempt["nonce"])
            if self._lacks(claims):
                claims = await self._provider.fetch_userinfo(tokens, claims["sub"]) | claims
            description = await self._provider.get_description()
        except ProviderAway as away:
            raise self._away(away) from None
        except NotConfirmed as error:
            log.warning("oidc.refused", why=str(error))
            raise ProblemError("oidc_refused") from None
        session = self._sessions.admit(await self._owner(claims))
        ends_there = (
            self._settings.oidc_logout == "provider" and description.end_session is not None
        )
        return OidcSession(
            session,
            login_attempt["next"],
            self._seal_logout(tokens["id_token"]) if ends_there else None,
        )

    def _lacks(self, claims: dict[str, Any]) -> bool:
        """Return whether the ID token lacks claims that this installation asks for."""
        claim_names = (
            self._settings.oidc_claim,
            *(("siret",) if self._settings.oidc_siret else ()),
        )
        return not all(name in claims for name in claim_names)

    def _seal_logout(self, id_token: str) -> str:
        ciphertext = encrypt(self._key, id_token.encode(), LOGOUT_COOKIE.encode())
        return base64.urlsafe_b64encode(ciphertext).decode()

    async def build_logout(self, cookie: str, origin: str) -> str | None:
        """Return the page of the provider that ends the session there (RP-Initiated Logout 1.0).

        Return None if the provider does not answer or the cookie is not ours: Vigie's session ended
        all the same.
        """
        try:
            ciphertext = base64.urlsafe_b64decode(cookie)
            hint = decrypt(self._key, ciphertext, LOGOUT_COOKIE.encode()).decode()
            end_session = (await self._provider.get_description()).end_session
        except (ValueError, ProviderAway):
            return None
        if end_session is None:
            return None
        query = urlencode(
            {
                "id_token_hint": hint,
                "client_id": self._provider.client_id,
                "state": secrets.token_urlsafe(16),
                "post_logout_redirect_uri": (
                    (self._settings.public_url.rstrip("/") or origin) + LOGGED_OUT_PATH
                ),
            }
        )
        return end_session + ("&" if "?" in end_session else "?") + query

    def _attempt(self, cookie: str | None, answer: dict[str, str]) -> dict[str, Any]:
        """Return the attempt of an answer and mark it as used. Raises NotConfirmed.

        It must be this browser's, in time and unused.
        """
        try:
            login_attempt: dict[str, Any] = orjson.loads(
                decrypt(self._key, base64.urlsafe_b64decode(cookie or ""), COOKIE.encode())
            )
        except ValueError:
            raise NotConfirmed("no attempt of this browser") from None
        used = f"oidc-{login_attempt['state'][:22]}"
        if not hmac.compare_digest(
            login_attempt["state"].encode(), answer.get("state", "").encode()
        ):
            raise NotConfirmed("state of another attempt")
        if login_attempt["until"] < now_ms() or self._access.is_session_closed(used):
            raise NotConfirmed("attempt too old or used")
        self._access.note(EndedSession(id=used, until=login_attempt["until"]))
        if answer.get("iss", self._provider.issuer) != self._provider.issuer:
            raise NotConfirmed("answer of another issuer")  # RFC 9207
        if not answer.get("code"):
            raise NotConfirmed(f"provider says {answer.get('error', 'nothing')[:40]!r}")
        return login_attempt

    async def _owner(self, claims: dict[str, Any]) -> Principal:
        """Return the account of this session.

        Raises ProblemError `oidc_unknown`, `oidc_unapproved`.
        """
        siret = self._settings.oidc_siret
        if siret and claims.get("siret") != siret:
            log.warning("oidc.unknown", why="person of another organisation")
            raise ProblemError("oidc_unknown")
        subject = self._access.hash(f"oidc:{self._provider.issuer}\0{claims['sub']}")
        account = next(
            (a for a in self._access.all(Account) if a.subject == subject), None
        ) or await self._first(claims, subject)
        principal = self._access.principal(account.id) if account else None
        if principal is None:
            log.warning("oidc.unknown", why="no open account for this subject")
            raise ProblemError("oidc_unknown")
        return principal

    async def _first(self, claims: dict[str, Any], subject: str) -> Account | None:
        """Return the account of the claim, now this subject's, or a new one if wanted.

        The result is None if it is another's already, or an administrator's. An account that
        decides needs the word of an administrator first: people may choose the claim at some
        providers. Raises ProblemError `oidc_unapproved`.
        """
        login_name = claims.get(self._settings.oidc_claim)
        if not isinstance(login_name, str) or not is_valid_login(login_name):
            return None
        has_verified_email = claims.get("email_verified") is True or bool(self._settings.oidc_siret)
        if self._settings.oidc_claim == "email" and not has_verified_email:
            return None
        account = self._access.account(login_name)
        is_new = account is None
        if account is None and self._settings.oidc_new_role is not None:
            principal = create_principal(self._settings.oidc_new_role)
            try:
                await self._access.add_account(principal, login_name)
            except LoginTaken:
                return None
            self._access.trace(principal, "account.created", principal.id)
            account = self._access.account(login_name)
        if account is None or account.subject is not None:
            return None
        owner = self._access.principal(account.id)
        if owner is None or owner.role is Role.ADMIN:
            return None
        if owner.role in TWO_FACTOR_ROLES and not is_new and (account.link_until or 0) < now_ms():
            log.warning("oidc.unapproved", account=account.id)
            raise ProblemError("oidc_unapproved")
        linked_account = account.model_copy(update={"subject": subject, "link_until": None})
        self._access.note(linked_account)
        self._access.trace(owner, "account.linked", owner.id)
        return linked_account

    def _away(self, away: ProviderAway) -> ProblemError:
        log.warning("oidc.away", why=str(away))
        return ProblemError("oidc_away", retry_after_s=10)
