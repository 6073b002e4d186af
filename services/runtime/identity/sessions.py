"""Browser sessions: login, signed cookies, CSRF protection by double submit.

People log in with a one-time code, or with password and second factor. A session is a signed cookie
and needs no store, so a login works if only this machine is left. It ends by its time, by `end`, by
disabling the principal, or by raising the account's epoch.
"""

import asyncio
import base64
import hmac
import secrets
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final
from weakref import WeakValueDictionary

import pyotp
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.low_level import ARGON2_VERSION

from schemas.base import DAY_MS, HOUR_MS, MINUTE_MS, Instant
from services.runtime.http.problems import ProblemError
from services.runtime.identity.accounts import AccessStore, normalize_code
from services.runtime.identity.passwords import check_password
from services.runtime.identity.principals import (
    MAX_LOGIN_CHARS,
    Account,
    EndedSession,
    Principal,
    normalize_login,
)
from services.runtime.process.machine import now_ms

COOKIE: Final = "vigie_session"
CSRF_COOKIE: Final = "vigie_csrf"
DEVICE_COOKIE: Final = "vigie_device"
HOST_PREFIX: Final = "__Host-"
"""Prefix of our cookies over TLS: browsers take such a cookie from this host alone."""
CSRF_HEADER: Final = "x-csrf-token"
SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing, for which a session cookie alone is enough."""
SESSION_LIFETIME_MS: Final = 12 * HOUR_MS
"""Lifetime of a session, longer than the longest shift of the cell (10 h, rule D39)."""
RECENT_LOGIN_MS: Final = 10 * MINUTE_MS
"""Time after a login in which login methods may be changed without another login."""
PRINTED_CODE_COUNT: Final = 10
ENROLLING_PREFIX: Final = "~"
"""Prefix of the id of a session that may only add a second factor; no other id has it."""
DEVICE_LIFETIME_S: Final = 31_536_000
"""Seconds for which a browser stays known to an account that logged in there."""
FREE_FAILURES: Final = 5
FIRST_WAIT_S: Final = 30
MAX_WAIT_S: Final = 900


@dataclass(frozen=True, slots=True)
class Session:
    """An open session; the browser stores `cookie`, `csrf` and `device`."""

    id: str
    principal: Principal
    expires_at: Instant
    cookie: str
    csrf: str
    device: str

    @property
    def enrolling(self) -> bool:
        """True if it was opened by a password alone although a second factor is required.

        It may only add one, and log out.
        """
        return self.id.startswith(ENROLLING_PREFIX)

    def check_proof(self) -> None:
        """Refuse a change of login methods in an old session.

        Raises ProblemError `proof_needed`.
        """
        if self.expires_at - SESSION_LIFETIME_MS + RECENT_LOGIN_MS < now_ms():
            raise ProblemError("proof_needed")

    def set_cookie_headers(self, *, secure: bool) -> list[str]:
        """Return the values of three `Set-Cookie` headers.

        The page can read the CSRF cookie, but not the others.
        """
        place = "Path=/; SameSite=Lax" + ("; Secure" if secure else "")
        life = f"Max-Age={SESSION_LIFETIME_MS // 1000}; {place}"
        prefix = HOST_PREFIX if secure else ""
        return [
            f"{prefix}{COOKIE}={self.cookie}; HttpOnly; {life}",
            f"{prefix}{CSRF_COOKIE}={self.csrf}; {life}",
            f"{prefix}{DEVICE_COOKIE}={self.device}; HttpOnly; Max-Age={DEVICE_LIFETIME_S}; {place}",
        ]


def build_clearing_headers(*, secure: bool) -> list[str]:
    """Return values of `Set-Cookie` that forget a session.

    Over TLS they also forget one of an earlier version.
    """
    plain = [f"{name}=; Max-Age=0; Path=/; SameSite=Lax" for name in (COOKIE, CSRF_COOKIE)]
    return [*plain, *(f"{HOST_PREFIX}{cookie}; Secure" for cookie in plain)] if secure else plain


def find_cookie(cookies: Mapping[str, str], name: str, *, secure: bool) -> str | None:
    """Return a cookie of this host. Over TLS only `__Host-` cookies count."""
    return cookies.get(f"{HOST_PREFIX}{name}" if secure else name)


MAX_THROTTLED_KEYS: Final = 10_000
"""Number of addresses, browsers and logins with remembered failures."""


class LoginThrottle:
    """Throttle for guesses: from `FREE_FAILURES` in a row for a key, each failure doubles the wait.

    It never excludes people with another proof. Codes and passkeys cannot be guessed and never
    wait. A browser where an account has logged in before counts by itself, so that a stranger's
    guesses do not lock the cell out.
    """

    def __init__(self) -> None:
        self._failures: dict[str, tuple[int, float]] = {}
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def lock_keys(self, *keys: str) -> AsyncIterator[None]:
        """Allow one attempt at a time for each key. Raises like `check`.

        Otherwise many simultaneous attempts would all pass before the first has failed.
        """
        async with AsyncExitStack() as turns:
            for key in sorted(keys):
                await turns.enter_async_context(self._turns.setdefault(key, asyncio.Lock()))
            self.check(*keys)
            yield

    def check(self, *keys: str) -> None:
        """Raise ProblemError `too_many_attempts` if a key must wait."""
        now = time.monotonic()
        wait = max(
            (until - now for key in keys for _, until in [self._failures.get(key, (0, 0.0))]),
            default=0.0,
        )
        if wait > 0:
            raise ProblemError(
                "too_many_attempts", retry_after_s=int(wait) + 1, wait_s=int(wait) + 1
            )

    def count_failure(self, *keys: str) -> None:
        """Count a failure of each key."""
        now = time.monotonic()
        for key in keys:
            count = self._failures.pop(key, (0, 0.0))[0] + 1
            wait = (
                min(FIRST_WAIT_S * 2.0 ** (count - FREE_FAILURES), MAX_WAIT_S)
                if count >= FREE_FAILURES
                else 0.0
            )
            self._failures[key] = (count, now + wait)
        if len(self._failures) > MAX_THROTTLED_KEYS:
            self._forget(now)

    def _forget(self, now: float) -> None:
        """Drop the keys with the fewest failures, oldest first, but none that must wait.

        A stranger can create thousands of keys with one failure each. That must not reset higher
        counts.
        """
        idle = [
            (count, at) for at, (count, until) in enumerate(self._failures.values()) if until <= now
        ]
        surplus = max(len(self._failures) - MAX_THROTTLED_KEYS * 9 // 10, 0)
        oldest = {at for _, at in sorted(idle)[:surplus]}
        self._failures = {
            key: failures
            for at, (key, failures) in enumerate(self._failures.items())
            if at not in oldest
        }

    def forget_failures(self, *keys: str) -> None:
        """Forget the failures of each key."""
        for key in keys:
            self._failures.pop(key, None)


def _create_decoy_hash(hasher: PasswordHasher) -> str:
    """Return a hash that no password has. Computing a real one takes 64 MB and 0.2 s.

    A login for an unknown account takes as long as for a known one.
    """
    salt, digest = (
        base64.b64encode(secrets.token_bytes(length)).decode().rstrip("=")
        for length in (hasher.salt_len, hasher.hash_len)
    )
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2id$v={ARGON2_VERSION}${cost}${salt}${digest}"


class Sessions:
    """Login and sessions on top of an `AccessStore`. One per process."""

    def __init__(self, access: AccessStore) -> None:
        self._access = access
        self._hasher = PasswordHasher()
        self._decoy = _create_decoy_hash(self._hasher)
        self._throttle = LoginThrottle()

    async def login_with_code(self, code: str, *, address: str) -> Session:
        """Open a session for the owner of a one-time code and use the code up.

        A valid code works despite earlier failures. Raises ProblemError.
        """
        code_record = await self._access.find_code(code)
        principal = self._access.principal(code_record.principal) if code_record else None
        if code_record is None or principal is None:
            self._throttle.check(f"from:{address}")
            self._throttle.count_failure(f"from:{address}")
            raise ProblemError("login_failed")
        self._access.use_code(code_record)
        self._throttle.forget_failures(f"from:{address}")
        return self.admit(principal)

    async def login(
        self,
        user: str,
        password: str,
        second: str | None,
        *,
        address: str,
        device: str | None = None,
    ) -> Session:
        """Open a session for a login with password and, if the account has one, second factor.

        The second factor is TOTP or a printed code. The error does not say which part was wrong.
        `device` is the cookie of a browser with an earlier login. Raises ProblemError.
        """
        account = self._access.account(user)
        is_known_device = account is not None and hmac.compare_digest(
            (device or "").encode(), self._device(account.id).encode()
        )
        keys = (
            (f"device:{device}",)
            if is_known_device
            else (f"login:{normalize_login(user[:MAX_LOGIN_CHARS])}", f"from:{address}")
        )
        async with self._throttle.lock_keys(*keys):
            principal = await self._verify_credentials(user, password, second or "")
            if principal is None:
                self._throttle.count_failure(*keys)
                raise ProblemError("login_failed")
            self._throttle.forget_failures(*keys)
            account_now = self._access.account_of(principal.id)
            return self.admit(
                principal,
                enrolling=account_now is not None and self._access.lacks_second_factor(account_now),
            )

    async def _verify_credentials(self, user: str, password: str, second: str) -> Principal | None:
        """Return the principal of password and second factor, and use the factor up.

        The account counts as it is after the password check.
        """
        before = self._access.account(user)
        hash_ = before.password_hash if before else None
        right = await asyncio.to_thread(self._password_is, hash_, password)
        account = self._access.account(user)
        if not right or account is None or account.password_hash != hash_:
            return None
        principal = self._access.principal(account.id)
        return principal if principal is not None and self._second_is(account, second) else None

    def _password_is(self, hash_: str | None, password: str) -> bool:
        try:
            return self._hasher.verify(hash_ or self._decoy, password) and hash_ is not None
        except (VerificationError, InvalidHashError):
            return False

    def _second_is(self, account: Account, second: str) -> bool:
        if account.totp_secret is None and not account.printed:
            return True
        if (
            account.totp_secret is not None
            and (counter := _find_totp_counter(account.totp_secret, second)) is not None
        ):
            if counter <= account.totp_used:
                return False
            self._access.note(account.model_copy(update={"totp_used": counter}))
            return True
        hash_ = self._access.hash(f"printed:{account.id}:{normalize_code(second)}")
        if hash_ not in account.printed:
            return False
        self._access.note(
            account.model_copy(update={"printed": tuple(h for h in account.printed if h != hash_)})
        )
        return True

    async def set_password(self, account: Account, password: str) -> Account:
        """Return the account with a new password; all its sessions end.

        Raises PasswordRefused, BrokerAway.
        """
        await asyncio.to_thread(check_password, password, account.login)
        hash_ = await asyncio.to_thread(self._hasher.hash, password)
        account = self._access.account_of(account.id) or account
        new_account = account.model_copy(
            update={"password_hash": hash_, "epoch": account.epoch + 1}
        )
        await self._access.put(new_account)
        return new_account

    async def enrol_second_factor(
        self, account: Account, secret: str, second: str, printed_codes: list[str]
    ) -> Account:
        """Enable TOTP after the person has shown that it works; all sessions of the account end.

        Raises ProblemError `login_failed`, BrokerAway.
        """
        counter = _find_totp_counter(secret, second)
        if counter is None:
            raise ProblemError("login_failed")
        hashes = tuple(
            self._access.hash(f"printed:{account.id}:{normalize_code(c)}") for c in printed_codes
        )
        new_account = account.model_copy(
            update={
                "totp_secret": secret,
                "totp_used": counter,
                "printed": hashes,
                "epoch": account.epoch + 1,
            }
        )
        await self._access.put(new_account)
        return new_account

    # ── cookies ────────────────────────────────────────────────────────────────────────────────────────────────────

    def admit(
        self, principal: Principal, *, enrolling: bool = False, expires_at: Instant | None = None
    ) -> Session:
        """Open a session for a person with a proven identity.

        `expires_at` is that of the session that this one replaces.
        """
        expires = now_ms() + SESSION_LIFETIME_MS if expires_at is None else expires_at
        id = f"{ENROLLING_PREFIX if enrolling else ''}{secrets.token_urlsafe(18)}"
        body = f"{principal.id}.{id}.{expires}.{self._epoch(principal.id)}"
        session = self.read(f"{body}.{self._mac('session', body)}")
        assert session is not None, "a session that was just opened is valid"
        return session

    def read(self, cookie: str | None, *, now: Instant | None = None) -> Session | None:
        """Return the session of a cookie, or None if it is forged, expired or ended."""
        body, _, mac = (cookie or "").rpartition(".")
        if not body or not hmac.compare_digest(mac.encode(), self._mac("session", body).encode()):
            return None
        principal_id, session_id, expires, epoch = body.rsplit(".", 3)
        if int(expires) <= (now_ms() if now is None else now) or self._access.is_session_closed(
            session_id
        ):
            return None
        principal = self._access.principal(principal_id)
        if principal is None or int(epoch) != self._epoch(principal_id):
            return None
        return Session(
            session_id,
            principal,
            int(expires),
            f"{body}.{mac}",
            self._mac("csrf", session_id),
            self._device(principal_id),
        )

    def expiry_of(self, cookie: str | None) -> Instant | None:
        """Return the end of a cookie's session, even if it has passed; None for a forged one."""
        body, _, mac = (cookie or "").rpartition(".")
        if not body or not hmac.compare_digest(mac.encode(), self._mac("session", body).encode()):
            return None
        return int(body.rsplit(".", 3)[2])

    def checks_csrf(self, session: Session, header: str | None, cookie: str | None) -> bool:
        """Check that the page repeats the CSRF cookie of this session in a header or form field."""
        header_token = (header or "").encode()
        return hmac.compare_digest(header_token, session.csrf.encode()) and hmac.compare_digest(
            header_token, (cookie or "").encode()
        )

    def end(self, session: Session) -> None:
        """Log out: no process accepts the cookie any more, even while Kafka is away."""
        self._access.note(EndedSession(id=session.id, until=session.expires_at + DAY_MS))

    def _device(self, principal_id: str) -> str:
        """Return the cookie of a browser where this account has logged in. It grants nothing."""
        return self._mac("device", principal_id)

    def _epoch(self, principal_id: str) -> int:
        account = self._access.account_of(principal_id)
        return account.epoch if account else 0

    def _mac(self, purpose: str, text: str) -> str:
        return blake2b(
            text.encode("utf-8", "surrogatepass"),
            key=self._access.session_key,
            digest_size=24,
            person=purpose.encode()[:16],
        ).hexdigest()


def create_totp_secret() -> str:
    """Create a secret for an authenticator app."""
    return pyotp.random_base32()


def _find_totp_counter(secret: str, second: str) -> int | None:
    """Return the 30 s step of a TOTP code, with one step of drift, else None.

    The result is also None for a secret that is no base32, or too short.
    """
    digits = "".join(c for c in second if c in "0123456789")
    try:
        totp = pyotp.TOTP(secret)
        now = int(time.time()) // totp.interval
        return next(
            (
                n
                for n in (now, now - 1, now + 1)
                if hmac.compare_digest(totp.generate_otp(n), digits)
            ),
            None,
        )
    except ValueError:  # binascii.Error is one
        return None
