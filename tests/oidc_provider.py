"""A small OpenID Connect provider on loopback, in a process of its own.

`python tests/oidc_provider.py PORT CLIENT SECRET REDIRECT_URI`. It keeps the rules of a provider
(exact redirect address, secret, PKCE, codes of one use, RS256) and logs in the user named by `POST
/control`. It lies on request: `fault` selects the error of its next ID tokens. Signed by hand, so
that no library agrees with itself.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import sys
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def number(n: int) -> str:
    return b64(n.to_bytes((n.bit_length() + 7) // 8, "big"))


class Signer:
    def __init__(self) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.kid = secrets.token_hex(4)

    def jwk(self) -> dict[str, str]:
        public = self.key.public_key().public_numbers()
        return {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.kid,
            "n": number(public.n),
            "e": number(public.e),
        }

    def pem(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Handler(BaseHTTPRequestHandler):
    issuer: ClassVar[str]
    client: ClassVar[str]
    secret: ClassVar[str]
    redirect: ClassVar[str]
    signer: ClassVar[Signer]
    control: ClassVar[dict[str, Any]] = {"subject": "nobody", "claims": {}, "fault": ""}
    proconnect: ClassVar[bool] = False
    """True: claims only from the userinfo endpoint, as a signed JWT; secret in the form; logout."""
    codes: ClassVar[dict[str, dict[str, str]]] = {}
    asked: ClassVar[Counter[str]] = Counter()

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.asked[parts.path] += 1
        match parts.path:
            case "/.well-known/openid-configuration":
                at = {name: f"{self.issuer}/{name}" for name in ("authorize", "token", "keys")}
                more = {
                    "userinfo_endpoint": f"{self.issuer}/userinfo",
                    "end_session_endpoint": f"{self.issuer}/logout",
                    "token_endpoint_auth_methods_supported": ["client_secret_post"],
                }
                self._json(
                    {
                        "issuer": self.issuer,
                        "authorization_endpoint": at["authorize"],
                        "token_endpoint": at["token"],
                        "jwks_uri": at["keys"],
                        **(more if self.proconnect else {}),
                    }
                )
            case "/userinfo" if self.proconnect:
                self._userinfo()
            case "/keys":
                self._json({"keys": [self.signer.jwk()]})
            case "/authorize":
                self._authorize({k: v[0] for k, v in parse_qs(parts.query).items()})
            case "/asked":
                self._json(dict(self.asked))
            case _:
                self._json({}, 404)

    def do_POST(self) -> None:
        self.asked[self.path] += 1
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.path == "/control":
            self.control.update(json.loads(body))
            if self.control.pop("new_key", False):
                type(self).signer = Signer()
            self._json({})
        elif self.path == "/token":
            self._token({k: v[0] for k, v in parse_qs(body).items()})
        else:
            self._json({}, 404)

    def _authorize(self, asked: dict[str, str]) -> None:
        right = (
            asked["client_id"] == self.client
            and asked["redirect_uri"] == self.redirect
            and asked["code_challenge_method"] == "S256"
        )
        if not right or asked["response_type"] != "code" or "openid" not in asked["scope"].split():
            self._json({"error": "invalid_request"}, 400)
            return
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked
        self.send_response(302)
        self.send_header(
            "Location",
            f"{self.redirect}?{urlencode({'code': code, 'state': asked['state'], 'iss': self.issuer})}",
        )
        self.end_headers()

    def _token(self, form: dict[str, str]) -> None:
        if self.proconnect:
            who = [form.get("client_id", ""), form.get("client_secret", "")]
        else:
            who = (
                base64.b64decode(self.headers.get("Authorization", "Basic ").removeprefix("Basic "))
                .decode()
                .split(":")
            )
        if [unquote(part) for part in who] != [self.client, self.secret]:
            self._json({"error": "invalid_client"}, 401)
            return
        authorization = self.codes.pop(form.get("code", ""), None)
        challenge = b64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            authorization is None
            or challenge != authorization["code_challenge"]
            or form.get("redirect_uri") != self.redirect
        ):
            self._json({"error": "invalid_grant"}, 400)
            return
        access = secrets.token_urlsafe(16)
        self.control["access"] = access
        self._json(
            {
                "access_token": access,
                "token_type": "Bearer",
                "expires_in": 60,
                "id_token": self._id_token(authorization["nonce"], access),
            }
        )

    def _id_token(self, nonce: str, access: str) -> str:
        now, fault = int(time.time()), self.control["fault"]
        claims = {
            "iss": self.issuer,
            "sub": self.control["subject"],
            "aud": self.client,
            "iat": now,
            "exp": now + 300,
            "nonce": nonce,
            "at_hash": b64(hashlib.sha256(access.encode()).digest()[:16]),
            **({} if self.proconnect else self.control["claims"]),
        }
        claims |= {
            "nonce": {"nonce": "another"},
            "audience": {"aud": "another"},
            "expired": {"iat": now - 900, "exp": now - 600},
            "issuer": {"iss": "https://another.example"},
            "future": {"iat": now + 900, "nbf": now + 900},
            "party": {"aud": [self.client, "another"], "azp": "another"},
            "access": {"at_hash": b64(b"0" * 16)},
        }.get(fault, {})
        if fault == "anonymous":
            del claims["sub"]
        if fault == "no_nonce":
            del claims["nonce"]
        header = {
            "alg": {"none": "none", "secret": "HS256", "public": "HS256"}.get(fault, "RS256"),
            "kid": self.signer.kid,
        }
        return self._sign(header, claims, fault)

    def _userinfo(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {self.control['access']}":
            self._json({}, 401)
            return
        fault = self.control["fault"]
        claims = {
            "iss": self.issuer,
            "aud": "another" if fault == "userinfo_audience" else self.client,
            "sub": "another" if fault == "userinfo_subject" else self.control["subject"],
            **self.control["claims"],
        }
        if fault == "userinfo_json":
            self._json(claims)
            return
        signer = Signer() if fault == "userinfo_forged" else self.signer
        header = {"alg": "RS256", "kid": self.signer.kid}
        body = self._sign(header, claims, "", signer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/jwt")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _sign(
        self,
        header: dict[str, str],
        claims: dict[str, Any],
        fault: str,
        signer: Signer | None = None,
    ) -> str:
        signer = signer or self.signer
        signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
        match fault:
            case "none":
                signature = b""
            case "secret":
                signature = hmac.digest(self.secret.encode(), signed.encode(), "sha256")
            case "public":
                signature = hmac.digest(self.signer.pem(), signed.encode(), "sha256")
            case "forged":
                signature = Signer().key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
            case _:
                signature = signer.key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{b64(signature)}"

    def _json(self, found: object, status: int = 200) -> None:
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    port, Handler.client, Handler.secret, Handler.redirect = sys.argv[1:5]
    Handler.proconnect = sys.argv[5:] == ["proconnect"]
    Handler.issuer, Handler.signer = f"http://127.0.0.1:{port}", Signer()
    ThreadingHTTPServer(("127.0.0.1", int(port)), Handler).serve_forever()
