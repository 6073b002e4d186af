"""Settings of the auditor."""

from __future__ import annotations

from pydantic import SecretStr, field_validator

from services.runtime.process.settings import Settings, address_of


class AuditorSettings(Settings):
    """`VIGIE_AUDIT_HEARTBEAT_URL`, `VIGIE_AUDIT_ALARM_URL`."""

    audit_heartbeat_url: SecretStr = SecretStr("")
    """Gets a POST once a minute while every promise is kept, with where every log ends, signed: a dead-man's switch of somebody else, which alarms when it stays away."""
    audit_alarm_url: SecretStr = SecretStr("")
    """Gets a POST when a promise is broken, every 15 minutes while it is, and when all is well again: a service that rings, not Vigie's own."""

    @field_validator("audit_heartbeat_url", "audit_alarm_url")
    @classmethod
    def _is_address(cls, url: SecretStr) -> SecretStr:
        return address_of(url, ("https", "http"))
