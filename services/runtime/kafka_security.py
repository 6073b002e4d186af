"""TLS and SASL to Kafka, from the environment (`VIGIE_KAFKA_*`): one set of options for every client of a process.

On `vigie up` with its own broker, which listens on loopback alone, nothing of this is set.
"""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import faust
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.runtime.certificates import load_chain, trusting
from services.runtime.secret_files import FromEnvironment


class KafkaSecurity(FromEnvironment):
    """Raises pydantic.ValidationError naming the variable."""

    model_config = SettingsConfigDict(env_prefix="VIGIE_KAFKA_", extra="ignore", frozen=True, hide_input_in_errors=True)

    tls: bool = False
    """`1`: encrypted, and the broker's name checked. Never TLS without a check."""
    ca: Path | None = None
    """PEM file of the authority that signed the brokers' certificates; none = those of this machine."""
    cert: Path | None = None
    """PEM file of this client's certificate chain, for brokers that ask for one."""
    cert_key: Path | None = None
    """PEM file of the key of that certificate."""
    user: str = ""
    """With it, SASL."""
    password: SecretStr = SecretStr("")
    """Of that user."""
    sasl: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(default="SCRAM-SHA-512")
    """Mechanism: `SCRAM-SHA-512`, `SCRAM-SHA-256`, or `PLAIN` (with TLS only)."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.ca or self.cert) and not self.tls:
            raise ValueError("VIGIE_KAFKA_CA and VIGIE_KAFKA_CERT are for VIGIE_KAFKA_TLS=1")
        if (self.cert is None) is not (self.cert_key is None):
            raise ValueError("VIGIE_KAFKA_CERT and VIGIE_KAFKA_CERT_KEY go together")
        if self.user and not self.password.get_secret_value():
            raise ValueError("VIGIE_KAFKA_USER needs VIGIE_KAFKA_PASSWORD")
        if self.user and self.sasl == "PLAIN" and not self.tls:
            raise ValueError("VIGIE_KAFKA_SASL=PLAIN sends the password as it is: set VIGIE_KAFKA_TLS=1")
        self.context()
        return self

    def context(self) -> ssl.SSLContext | None:
        """Raises ValueError: a file that is missing or is no certificate, by the name of its variable."""
        if not self.tls:
            return None
        try:
            context = trusting(self.ca)
        except ValueError as error:
            raise ValueError(f"VIGIE_KAFKA_CA: {error}") from error
        if self.cert is not None and self.cert_key is not None:
            try:
                load_chain(context, self.cert, self.cert_key)
            except ValueError as error:
                raise ValueError(f"VIGIE_KAFKA_CERT, VIGIE_KAFKA_CERT_KEY: {error}") from error
        return context

    def options(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka client."""
        if not self.tls and not self.user:
            return {}
        found: dict[str, Any] = {"security_protocol": ("SASL_" if self.user else "") + ("SSL" if self.tls else "PLAINTEXT")}
        if self.tls:
            found["ssl_context"] = self.context()
        if self.user:
            found |= {
                "sasl_mechanism": self.sasl,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password.get_secret_value(),
            }
        return found


@lru_cache(maxsize=1)
def security() -> KafkaSecurity:
    """Of this process."""
    return KafkaSecurity()


def client_options() -> dict[str, Any]:
    """`AIOKafkaProducer(bootstrap_servers=…, **client_options())`; empty without TLS and SASL."""
    return dict(_options())


@lru_cache(maxsize=1)
def _options() -> dict[str, Any]:
    return security().options()


def faust_credentials() -> Any:
    """The same for Faust's app; None without TLS and SASL."""
    known = security()
    if known.user:
        return faust.SASLCredentials(
            username=known.user, password=known.password.get_secret_value(), ssl_context=known.context(), mechanism=known.sasl
        )
    return faust.SSLCredentials(known.context()) if known.tls else None
