"""Settings of the front (`VIGIE_INTAKE_*`), beside those of every process."""

import ssl
from ipaddress import ip_network
from pathlib import Path
from typing import Final, Self

from pydantic import AliasChoices, Field, field_validator, model_validator

from services.runtime.process.cluster import is_shared
from services.runtime.process.settings import HostPort, Settings
from services.runtime.secrets.files import load_chain

ACK_TIMEOUT_S: Final = 5.0
SHARED_ACK_TIMEOUT_S: Final = 10.0
"""Twice the time in which another broker leads at the latest: reports under way survive it."""


def _build_alias(name: str) -> AliasChoices:
    return AliasChoices(f"VIGIE_INTAKE_{name.upper()}", name)


class IntakeSettings(Settings):
    """Settings of the front. Names end with their unit."""

    body_limit_bytes: int = Field(
        default=1 << 20, ge=1, validation_alias=_build_alias("body_limit_bytes")
    )
    """Largest body. A longer one is refused."""
    body_timeout_s: float = Field(
        default=15.0, gt=0, validation_alias=_build_alias("body_timeout_s")
    )
    """Time when a body must arrive completely."""
    bodies_in_memory_bytes: int = Field(
        default=64 << 20, ge=1, validation_alias=_build_alias("bodies_in_memory_bytes")
    )
    """Memory for all bodies that are processed at the same time."""
    bodies_reserve_bytes: int = Field(
        default=8 << 20, ge=0, validation_alias=_build_alias("bodies_reserve_bytes")
    )
    """Additional memory for reports of danger to people. Leave room for a few bodies."""
    in_flight: int = Field(default=256, ge=1, validation_alias=_build_alias("in_flight"))
    """Reports that may wait for Kafka at the same time."""
    in_flight_reserve: int = Field(
        default=256, ge=0, validation_alias=_build_alias("in_flight_reserve")
    )
    """Additional reports that may wait, for danger to people only."""
    ack_timeout_s: float | None = Field(
        default=None, gt=0, validation_alias=_build_alias("ack_timeout_s")
    )
    """Time without an acknowledgement after which the sender is asked to try again.

    Empty = 5 s; with several machines 10 s, in which another broker leads.
    """
    batch_items: int = Field(default=500, ge=1, validation_alias=_build_alias("batch_items"))
    """Reports in one batch."""
    refused_days: int = Field(default=30, ge=1, validation_alias=_build_alias("refused_days"))
    """Days for which the bytes of refused messages are kept."""
    refused_per_day: int = Field(
        default=500, ge=0, validation_alias=_build_alias("refused_per_day")
    )
    """Refused messages kept per source and day."""
    refused_bytes_per_day: int = Field(
        default=20 << 20, ge=0, validation_alias=_build_alias("refused_bytes_per_day")
    )
    """Bytes of refused messages kept per source and day."""
    photos_per_day: int = Field(default=200, ge=0, validation_alias=_build_alias("photos_per_day"))
    """Photos kept per sender and day. One sender's photos cannot block the reports of others."""
    photo_bytes_per_day: int = Field(
        default=100 << 20, ge=0, validation_alias=_build_alias("photo_bytes_per_day")
    )
    """Bytes of photos kept per sender and day."""
    unknown_per_window: int = Field(
        default=20, ge=1, validation_alias=_build_alias("unknown_per_window")
    )
    """Reports without a login, per poster or per SMS gateway for unknown numbers, in one window.

    Danger to people may use as many again.
    """
    unknown_per_sender: int = Field(
        default=3, ge=1, validation_alias=_build_alias("unknown_per_sender")
    )
    """Reports in one window from one number, or from one address at one poster.

    An address is a /24 with IPv4, a /64 with IPv6.
    """
    unknown_window_s: float = Field(
        default=600.0, gt=0, validation_alias=_build_alias("unknown_window_s")
    )
    """Length of the window for reports without a login."""
    reports_per_s: float = Field(default=20.0, ge=0, validation_alias=_build_alias("reports_per_s"))
    """Reports per second that a sender may send in the long run; 0 = no limit.

    Each report of a batch counts. Administrators and coordinators have no limit, because they run
    scenarios. The option `--rate` gives a token or a source a rate of its own
    (docs/how-to/sources.md).
    """
    reports_burst: int = Field(default=1000, ge=1, validation_alias=_build_alias("reports_burst"))
    """Reports that a sender may send at once after a pause."""
    danger_per_s: float = Field(default=5.0, gt=0, validation_alias=_build_alias("danger_per_s"))
    """Additional reports per second, for danger to people only."""
    danger_burst: int = Field(default=300, ge=1, validation_alias=_build_alias("danger_burst"))
    """Additional reports at once, for danger to people only."""
    backlog_s: float = Field(default=60.0, ge=0, validation_alias=_build_alias("backlog_s"))
    """Estimated wait for a decision beyond which only danger to people is let in; 0 = no limit."""
    realm_share_s: float = Field(default=2.0, ge=0, validation_alias=_build_alias("realm_share_s"))
    """Seconds of undecided reports that a live realm may have beside others; 0 = no limit.

    Ordinary reports beyond it are asked to retry. Danger to people beyond it waits behind ordinary
    reports, and is asked to retry beyond twice the share.
    """
    console_connect_s: float = Field(
        default=2.0, gt=0, validation_alias=_build_alias("console_connect_s")
    )
    """Time to connect to the console before a page is answered with 503."""

    connections_per_address: int = Field(
        default=1_000, ge=1, validation_alias=_build_alias("connections_per_address")
    )
    """Open connections per address (IPv6: per /64). A further one closes the longest idle one.

    Connections of `VIGIE_PROXIES` are not counted.
    """

    tls_http: HostPort = ""
    """A second address of the front, with TLS, for clients outside; empty = none.

    A reverse proxy with `VIGIE_PROXIES` serves the same purpose.
    """
    tls_cert: Path | None = None
    """PEM file with the certificate chain of the TLS address."""
    tls_key: Path | None = None
    """PEM file with the private key of the TLS address."""

    hsts_s: int = Field(default=31_536_000, ge=0)
    """Seconds for which browsers use TLS only after a visit over TLS (HSTS); 0 = no such header.

    It holds for every port of the host name.
    """
    metrics_public: bool = True
    """Let anybody read `/metrics`, `/openapi.json`, `/asyncapi.json` and the parts of `/readyz`.

    Otherwise, only accounts that may see the situation can.
    """

    proxies: str = ""
    """Reverse proxies in front of Vigie: addresses or networks, separated by commas; empty = none.

    Vigie believes their `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host`.
    """

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, value: str) -> str:
        try:
            return (
                ",".join(str(ip_network(part.strip(), strict=False)) for part in value.split(","))
                if value
                else ""
            )
        except ValueError as error:
            raise ValueError(
                f"must be addresses or networks with commas, like 127.0.0.1,10.0.0.0/24 ({error})"
            ) from error

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        tls_parts = [bool(self.tls_http), self.tls_cert is not None, self.tls_key is not None]
        if any(tls_parts) and not all(tls_parts):
            raise ValueError("VIGIE_TLS_HTTP, VIGIE_TLS_CERT and VIGIE_TLS_KEY belong together")
        if self.tls_cert is not None and self.tls_key is not None:
            try:
                load_chain(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self.tls_cert, self.tls_key)
            except ValueError as error:
                raise ValueError(f"VIGIE_TLS_CERT, VIGIE_TLS_KEY: {error}") from error
        return self

    @classmethod
    def read(cls) -> Self:
        """Read the settings from the environment."""
        return cls()

    @property
    def acknowledgement_s(self) -> float:
        """Longest wait for an acknowledgement."""
        if self.ack_timeout_s is not None:
            return self.ack_timeout_s
        return SHARED_ACK_TIMEOUT_S if is_shared(self) else ACK_TIMEOUT_S

    @property
    def answers(self) -> Path:
        """SQLite file with the index of answers."""
        return self.data_dir / "intake" / "answers.db"

    @property
    def sources(self) -> Path:
        """SQLite file with the statistics of sources."""
        return self.data_dir / "intake" / "sources.db"

    @property
    def live_realm(self) -> str:
        """Realm of a report that names none."""
        return self.territory.name
