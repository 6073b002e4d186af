"""Client of an OpenID Connect provider: its description, its keys and its signed claims.

Vigie believes only claims that the provider signed for this one request. All addresses come from
the provider's own description and use HTTPS, or lie on this machine if the provider does.
"""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

import httpx2 as httpx
import orjson
from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from services.runtime.identity.oidc_settings import is_safe_url

ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
"""Signatures that only the provider can make: neither `none` nor one with a shared key."""
CACHE_S: Final = 3_600.0
"""Seconds for which description and keys are cached."""
KEY_REFRESH_S: Final = 30.0
"""Least seconds between two requests for an unknown key."""
TIMEOUT_S: Final = 5.0
MAX_BODY_BYTES: Final = 256 * 1024
LEEWAY_S: Final = 60
"""Greatest difference of the clocks in seconds."""
_PARSE_ERRORS: Final = (JoseError, ValueError, TypeError, KeyError, AttributeError)
"""Exceptions that a forged token may cause."""


class ProviderAway(Exception):
    """The provider does not answer, or not as a provider should."""


class NotConfirmed(Exception):
    """The answer does not confirm the person. The text is for the log and names no person."""


@dataclass(frozen=True, slots=True)
class ProviderDescription:
    """The provider's description of itself (OpenID Connect Discovery 1.0), as far as needed."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None = None
    """Endpoint for more claims about the person; None if the provider has none."""
    end_session: str | None = None
    """Page that ends the person's session at the provider; None if it has none."""
    secret_in_body: bool = False
    """True if the token endpoint wants the secret in the form, not as HTTP Basic."""


class OidcProvider:
    """Client of one provider. One per process; safe for concurrent use in one event loop."""

    def __init__(self, issuer: str, client_id: str, client_secret: str) -> None:
        self.issuer, self.client_id = issuer, client_id
        self._secret = client_secret
        self._http = httpx.AsyncClient(timeout=TIMEOUT_S, follow_redirects=False)
        self._described: tuple[ProviderDescription, float] | None = None
        self._keys: tuple[KeySet, float] | None = None
        self._asking = asyncio.Lock()

    async def close(self) -> None:
        await self._http.aclose()

    async def get_description(self) -> ProviderDescription:
        """Return the provider's description, cached. Raises ProviderAway."""
        async with self._asking:
            if self._described is None or time.monotonic() - self._described[1] > CACHE_S:
                self._described = await self._describe(), time.monotonic()
            return self._described[0]

    async def exchange(self, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
        """Exchange a code for tokens (RFC 6749 4.1.3 with RFC 7636).

        Raises ProviderAway, NotConfirmed: a code counts once.
        """
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        description, who = await self.get_description(), None
        if self._secret and not description.secret_in_body:
            who = httpx.BasicAuth(quote(self.client_id, safe=""), quote(self._secret, safe=""))
        else:
            form["client_id"] = self.client_id
            if self._secret:
                form["client_secret"] = self._secret
        status, token_reply = await self._ask("POST", description.token, data=form, auth=who)
        if 400 <= status < 500:
            raise NotConfirmed(f"code refused: {str(token_reply.get('error'))[:40]!r}")
        if status != 200:
            raise ProviderAway(f"token endpoint: {status}")
        return token_reply

    async def verify_claims(self, tokens: Mapping[str, Any], nonce: str) -> dict[str, Any]:
        """Return the claims of the ID token once all checks of OpenID Connect Core 3.1.3.7 pass.

        Raises ProviderAway, NotConfirmed.
        """
        text = tokens.get("id_token")
        if not isinstance(text, str):
            raise NotConfirmed("no ID token")
        try:
            token = await self._verify_signature(text)
            claims = CodeIDToken(
                token.claims,
                token.header,
                options={
                    "iss": {"essential": True, "value": self.issuer},
                    "aud": {"essential": True, "value": self.client_id},
                    "sub": {"essential": True},
                    "nonce": {"essential": True, "value": nonce},
                },
                params={
                    "client_id": self.client_id,
                    "nonce": nonce,
                    "access_token": tokens.get("access_token"),
                },
            )
            claims.validate(leeway=LEEWAY_S)
        except _PARSE_ERRORS as error:
            raise NotConfirmed(f"ID token: {type(error).__name__} {str(error)[:80]}") from None
        return dict(claims)

    async def fetch_userinfo(self, tokens: Mapping[str, Any], subject: object) -> dict[str, Any]:
        """Return the claims of the userinfo endpoint (OpenID Connect Core 5.3); {} without one.

        They come as JSON, or as a JWT that the provider signed. They count only if they are about
        `subject`, the one of the ID token. Raises ProviderAway, NotConfirmed.
        """
        address = (await self.get_description()).userinfo
        if address is None:
            return {}
        headers = {
            "Accept": "application/jwt, application/json",
            "Authorization": f"Bearer {tokens.get('access_token')}",
        }
        status, body = await self._fetch("GET", address, headers=headers)
        if status != 200:
            raise ProviderAway(f"userinfo: {status}")
        claims = _parse_object(body)
        if claims is None:
            claims = await self._open_userinfo(body)
        if claims.get("sub") != subject:
            raise NotConfirmed("userinfo about somebody else")
        return claims

    async def _open_userinfo(self, body: bytes) -> dict[str, Any]:
        try:
            claims = dict((await self._verify_signature(body.decode())).claims)
        except _PARSE_ERRORS as error:
            raise NotConfirmed(f"userinfo: {type(error).__name__} {str(error)[:80]}") from None
        audience = claims.get("aud", self.client_id)
        if claims.get("iss", self.issuer) != self.issuer or self.client_id not in (
            audience if isinstance(audience, list) else [audience]
        ):
            raise NotConfirmed("userinfo of another issuer, or for another client")
        return claims

    async def _verify_signature(self, text: str) -> jwt.Token:
        keys, at = await self._known_keys()
        try:
            return jwt.decode(text, keys, algorithms=ALGORITHMS)
        except _PARSE_ERRORS:
            if time.monotonic() - at < KEY_REFRESH_S:
                raise
        # The provider may have changed its keys.
        keys, _ = await self._known_keys(asked_after=time.monotonic() - KEY_REFRESH_S)
        return jwt.decode(text, keys, algorithms=ALGORITHMS)

    async def _known_keys(self, *, asked_after: float | None = None) -> tuple[KeySet, float]:
        address = (await self.get_description()).keys
        async with self._asking:
            oldest = time.monotonic() - CACHE_S if asked_after is None else asked_after
            if self._keys is None or self._keys[1] < oldest:
                status, key_set = await self._ask("GET", address)
                try:
                    if status != 200:
                        raise ValueError(status)
                    self._keys = KeySet.import_key_set({"keys": key_set["keys"]}), time.monotonic()
                except _PARSE_ERRORS as error:
                    raise ProviderAway(f"keys: {type(error).__name__} {error}") from None
            return self._keys

    async def _describe(self) -> ProviderDescription:
        status, configuration = await self._ask(
            "GET", f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        )
        if status != 200 or configuration.get("issuer") != self.issuer:
            raise ProviderAway(f"description: {status}, or of another issuer")
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        urls = [configuration.get(name) for name in names]
        more = [configuration.get(name) for name in ("userinfo_endpoint", "end_session_endpoint")]
        if not all(isinstance(u, str) and is_safe_url(u) for u in urls) or not all(
            u is None or (isinstance(u, str) and is_safe_url(u)) for u in more
        ):
            raise ProviderAway("description: an address is missing or not on HTTPS")
        methods = configuration.get("token_endpoint_auth_methods_supported")
        in_body = isinstance(methods, list) and "client_secret_basic" not in methods
        authorization, token, keys = map(str, urls)
        userinfo, end_session = more
        return ProviderDescription(
            authorization,
            token,
            keys,
            userinfo=userinfo,
            end_session=end_session,
            secret_in_body=in_body,
        )

    async def _ask(self, method: str, url: str, **more: Any) -> tuple[int, dict[str, Any]]:
        more.setdefault("headers", {"Accept": "application/json"})
        status, body = await self._fetch(method, url, **more)
        return status, _parse_object(body) or {}

    async def _fetch(self, method: str, url: str, **more: Any) -> tuple[int, bytes]:
        try:
            async with (
                asyncio.timeout(2 * TIMEOUT_S),
                self._http.stream(method, url, **more) as answer,
            ):
                body = bytearray()
                async for piece in answer.aiter_bytes():
                    body += piece
                    if len(body) > MAX_BODY_BYTES:
                        raise ProviderAway("answers without end")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError) as error:
            raise ProviderAway(f"{type(error).__name__}: {urlsplit(url).path}") from None
        return answer.status_code, bytes(body)


def _parse_object(body: bytes) -> dict[str, Any] | None:
    """Return a JSON object, or None for anything else."""
    try:
        document = orjson.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None
