"""Settings of the front door, beside those that every process has (`VIGIE_INTAKE_*`)."""

from __future__ import annotations

import ssl
from ipaddress import ip_network
from pathlib import Path
from typing import Self

from pydantic import AliasChoices, Field, field_validator, model_validator

from services.runtime.process.settings import HostPort, Settings
from services.runtime.secrets.certificates import load_chain


def _env(name: str) -> AliasChoices:
    return AliasChoices(f"VIGIE_INTAKE_{name.upper()}", name)


class IntakeSettings(Settings):
    """Limits with their units in the names."""

    body_limit_bytes: int = Field(default=1 << 20, ge=1, validation_alias=_env("body_limit_bytes"))
    """Of one body; a longer one is refused."""
    body_timeout_s: float = Field(default=15.0, gt=0, validation_alias=_env("body_timeout_s"))
    """For a body to arrive as a whole."""
    bodies_in_memory_bytes: int = Field(
        default=64 << 20, ge=1, validation_alias=_env("bodies_in_memory_bytes")
    )
    """Of all bodies that are being worked on together."""
    bodies_reserve_bytes: int = Field(
        default=8 << 20, ge=0, validation_alias=_env("bodies_reserve_bytes")
    )
    """As many more, for danger to people only: at least a few bodies."""
    in_flight: int = Field(default=256, ge=1, validation_alias=_env("in_flight"))
    """Reports that may wait for Kafka at once."""
    in_flight_reserve: int = Field(default=256, ge=0, validation_alias=_env("in_flight_reserve"))
    """As many more, for danger to people only."""
    ack_timeout_s: float = Field(default=5.0, gt=0, validation_alias=_env("ack_timeout_s"))
    """After this a sender is told to try again."""
    batch_items: int = Field(default=500, ge=1, validation_alias=_env("batch_items"))
    """Reports in one batch."""
    refused_days: int = Field(default=30, ge=1, validation_alias=_env("refused_days"))
    """How long what was refused is kept with its bytes."""
    refused_per_day: int = Field(default=500, ge=0, validation_alias=_env("refused_per_day"))
    """Refused messages kept per source and day."""
    refused_bytes_per_day: int = Field(
        default=20 << 20, ge=0, validation_alias=_env("refused_bytes_per_day")
    )
    """Bytes of them."""
    photos_per_day: int = Field(default=200, ge=0, validation_alias=_env("photos_per_day"))
    """Photos kept per sender and day: those of one are in the way of nobody else's reports."""
    photo_bytes_per_day: int = Field(
        default=100 << 20, ge=0, validation_alias=_env("photo_bytes_per_day")
    )
    """Bytes of them."""
    unknown_per_window: int = Field(default=20, ge=1, validation_alias=_env("unknown_per_window"))
    """Reports of people without a login per poster, or per SMS gateway for unknown numbers; as many more for danger to people."""
    unknown_per_sender: int = Field(default=3, ge=1, validation_alias=_env("unknown_per_sender"))
    """Of these, from one number, or from one address (a /24, with IPv6 a /64) at one poster."""
    unknown_window_s: float = Field(default=600.0, gt=0, validation_alias=_env("unknown_window_s"))
    """The window in which they are counted."""
    reports_per_s: float = Field(default=20.0, ge=0, validation_alias=_env("reports_per_s"))
    """Reports that a sender may bring per second in the long run, those of a batch one each; 0 = no limit. Administrators and coordinators, who play
    scenarios, have none; the option `--rate` gives a token or a source its own (docs/how-to/sources.md)."""
    reports_burst: int = Field(default=1000, ge=1, validation_alias=_env("reports_burst"))
    """Reports that a sender may bring at once, after a quiet time."""
    danger_per_s: float = Field(default=5.0, gt=0, validation_alias=_env("danger_per_s"))
    """As many more per second, for danger to people only."""
    danger_burst: int = Field(default=300, ge=1, validation_alias=_env("danger_burst"))
    """As many more at once, for danger to people only."""
    backlog_s: float = Field(default=60.0, ge=0, validation_alias=_env("backlog_s"))
    """Estimated wait of an ordinary report for its decision beyond which only danger to people is let in; 0 = no bound."""
    console_connect_s: float = Field(default=2.0, gt=0, validation_alias=_env("console_connect_s"))
    """Patience with the console, before a page is answered with 503."""

    connections_per_address: int = Field(
        default=1_000, ge=1, validation_alias=_env("connections_per_address")
    )
    """Open connections per address (with IPv6 per /64). Beyond, the longest idle one is closed. Not counted: `VIGIE_PROXIES`."""

    tls_http: HostPort = ""
    """A second address of the front, with TLS, for callers from outside; empty = none. A reverse proxy does as well, with `VIGIE_PROXIES`."""
    tls_cert: Path | None = None
    """Its certificate chain, PEM."""
    tls_key: Path | None = None
    """Its private key, PEM."""

    hsts_s: int = Field(default=31_536_000, ge=0)
    """Seconds for which a browser that came over TLS comes back over TLS only, on every port of this name; 0 = it is not asked to."""
    metrics_public: bool = True
    """Strangers may read `/metrics`, `/openapi.json`, `/asyncapi.json` and the parts of `/readyz`; else who may see the picture."""

    proxies: str = ""
    """Reverse proxies in front: addresses or networks, with commas. What they say of their callers is believed (`X-Forwarded-For`, `X-Forwarded-Proto`); empty = none."""

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, given: str) -> str:
        try:
            return (
                ",".join(str(ip_network(part.strip(), strict=False)) for part in given.split(","))
                if given
                else ""
            )
        except ValueError as error:
            raise ValueError(
                f"must be addresses or networks with commas, like 127.0.0.1,10.0.0.0/24 ({error})"
            ) from error

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        given = [bool(self.tls_http), self.tls_cert is not None, self.tls_key is not None]
        if any(given) and not all(given):
            raise ValueError("VIGIE_TLS_HTTP, VIGIE_TLS_CERT and VIGIE_TLS_KEY belong together")
        if self.tls_cert is not None and self.tls_key is not None:
            try:
                load_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.tls_cert, self.tls_key)
            except ValueError as error:
                raise ValueError(f"VIGIE_TLS_CERT, VIGIE_TLS_KEY: {error}") from error
        return self

    @classmethod
    def read(cls) -> Self:
        """From the environment."""
        return cls()

    @property
    def answers(self) -> Path:
        """Index of what was answered."""
        return self.data_dir / "intake" / "answers.db"

    @property
    def sources(self) -> Path:
        """What is remembered of sources."""
        return self.data_dir / "intake" / "sources.db"

    @property
    def live_realm(self) -> str:
        """The realm of a report that names none."""
        return self.territory.name
