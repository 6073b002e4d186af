"""Settings of the organisation's identity provider. Most installations have none."""

from ipaddress import ip_address
from typing import Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from services.runtime.identity.permissions import Role
from services.runtime.process.settings import PublicUrl, Settings

COOKIE: Final = "vigie_oidc"
"""Cookie that keeps a login attempt in the browser."""
LOGOUT_COOKIE: Final = "vigie_oidc_fin"
"""Cookie that keeps the token for a logout at the provider."""
LOGGED_OUT_PATH: Final = "/connexion"
"""Page to which the provider sends the browser after a logout."""
ATTEMPT_S: Final = 600
LOGIN_PATH: Final = "/connexion/annuaire"
"""Page that leads to the provider."""
RETURN_PATH: Final = f"{LOGIN_PATH}/retour"
"""Page to which the provider sends the browser back."""


def is_safe_url(url: str) -> bool:
    """Return whether a URL uses HTTPS or points to this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" and parts.hostname:
        return True
    try:
        return parts.scheme == "http" and (
            parts.hostname == "localhost" or ip_address(parts.hostname or "").is_loopback
        )
    except ValueError:
        return False


class OidcSettings(Settings):
    """`VIGIE_OIDC_*`, `VIGIE_PUBLIC_URL`."""

    oidc_issuer: str = ""
    """The provider's exact `issuer`; empty = no provider ([how to](../how-to/identity-provider.md))."""
    oidc_client_id: str = ""
    """Client id that is registered with the provider."""
    oidc_client_secret: SecretStr = SecretStr("")
    """Client secret; empty = a public client, protected by PKCE alone."""
    oidc_claim: str = Field(default="preferred_username", min_length=1, max_length=64)
    """Claim of the person that must equal the login of the account at first use.

    It comes from the ID token or from the userinfo endpoint. `email` counts only if the provider
    has verified it, or if `VIGIE_OIDC_SIRET` is set.
    """
    oidc_siret: str = Field(default="", pattern=r"^(\d{14})?$")
    """SIRET that the provider must state, as ProConnect does; people of others are refused."""
    oidc_logout: Literal["vigie", "provider"] = "vigie"
    """`provider`: a logout also ends the session at the provider, as ProConnect asks."""
    oidc_scope: str = "openid profile"
    """Requested scopes; add `email` for that claim."""
    oidc_name: str = Field(default="le compte du Département", max_length=60)
    """Text after « Se connecter avec » on the button."""
    oidc_new_role: Role | None = None
    """Role of new accounts for people without one; empty = none is opened. Never `admin`."""
    public_url: PublicUrl = ""
    """Address under which browsers reach the front; empty = the one that they used."""

    @field_validator("oidc_new_role", mode="before")
    @classmethod
    def _none_is_none(cls, value: object) -> object:
        return value or None

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if not self.oidc_issuer:
            return self
        if not is_safe_url(self.oidc_issuer):
            raise ValueError(
                "VIGIE_OIDC_ISSUER must begin with https:// (http:// only on this machine)"
            )
        if not self.oidc_client_id:
            raise ValueError("VIGIE_OIDC_ISSUER needs VIGIE_OIDC_CLIENT_ID")
        if "openid" not in self.oidc_scope.split():
            raise ValueError("VIGIE_OIDC_SCOPE must hold openid")
        if self.oidc_new_role is Role.ADMIN:
            raise ValueError("VIGIE_OIDC_NEW_ROLE: a login cannot create an administrator")
        return self
