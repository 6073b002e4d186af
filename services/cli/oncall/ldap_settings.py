"""Settings of the LDAP server that `vigie directory sync` reads."""

from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from schemas.words import Channel
from services.runtime.process.settings import Settings

CHANNELS: Final = (Channel.EMAIL, Channel.SMS, Channel.VOICE)
_FIELDS: Final = ("person", "name", "site", "language")


class LdapSettings(Settings):
    """`VIGIE_LDAP_*`."""

    ldap_url: str = ""
    """`ldaps://host[:port]`, or `ldap://host[:port]` with StartTLS; empty = no LDAP server."""
    ldap_user: str = ""
    """DN, or name of a domain (`vigie@example.org`), of a read-only account; empty = anonymous."""
    ldap_password: SecretStr = SecretStr("")
    """Its password; best in a file, see `VIGIE_SECRETS_DIR`."""
    ldap_base: str = ""
    """DN under which people are, e.g. `ou=agents,dc=example,dc=org`."""
    ldap_filter: str = "(objectClass=person)"
    """Filter of the people to take over."""
    ldap_attributes: str = "person=uid,name=displayName,email=mail,sms=mobile,voice=telephoneNumber"
    """Attribute of each field: `person`, `name`, `site`, `language`, `email`, `sms`, `voice`."""
    ldap_ca: Path | None = None
    """Certificates of the authorities to trust; empty = those of this machine."""
    ldap_max_share: float = Field(default=0.3, ge=0, le=1)
    """Largest share of known people that one run may change without `--many`."""

    @field_validator("ldap_url")
    @classmethod
    def _is_ldap(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("ldap", "ldaps") or not parts.hostname or parts.username):
            raise ValueError("must be ldaps://host[:port] or ldap://host[:port]")
        return url

    @field_validator("ldap_attributes")
    @classmethod
    def _is_map(cls, text: str) -> str:
        names = parse_attributes(text)
        if unknown := set(names) - {*_FIELDS, *CHANNELS}:
            raise ValueError(f"unknown field {', '.join(sorted(unknown))}")
        if "person" not in names:
            raise ValueError("must name the attribute of `person`")
        return text

    @model_validator(mode="after")
    def _has_base(self) -> Self:
        if self.ldap_url and not self.ldap_base:
            raise ValueError("VIGIE_LDAP_BASE must name the DN under which people are")
        return self


def parse_attributes(text: str) -> dict[str, str]:
    """Parse `field=attribute,…`. Raises ValueError."""
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if not all(equals and attribute.strip() for _, equals, attribute in pairs):
        raise ValueError("must be field=attribute,field=attribute")
    return {field.strip(): attribute.strip() for field, _, attribute in pairs}
