"""Define the settings of the auditor."""

from __future__ import annotations

from pydantic import SecretStr, field_validator

from services.runtime.process.settings import Settings, check_url


class AuditorSettings(Settings):
    """Settings of the auditor: `VIGIE_AUDIT_HEARTBEAT_URL`, `VIGIE_AUDIT_ALARM_URL`."""

    audit_heartbeat_url: SecretStr = SecretStr("")
    """Address of a dead-man's switch.

    It gets a POST once a minute while every promise is kept, with the signed positions of all logs.
    """
    audit_alarm_url: SecretStr = SecretStr("")
    """Address of an alarm service other than Vigie.

    It gets a POST when a promise is broken, every 15 minutes meanwhile, and when all is well again.
    """

    @field_validator("audit_heartbeat_url", "audit_alarm_url")
    @classmethod
    def _is_address(cls, url: SecretStr) -> SecretStr:
        return check_url(url, ("https", "http"))
