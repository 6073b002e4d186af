"""TLS and SASL to Kafka from the environment (`VIGIE_KAFKA_*`), for every client of a process.

`vigie up` with its own broker sets none of it: the password lies in the data directory.
"""

import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Self

import faust
from pydantic import Field, SecretStr, model_validator
from pydantic_settings import SettingsConfigDict

from services.runtime.process.cluster import AUTHORITY_FILE, read_member
from services.runtime.process.settings import Settings
from services.runtime.process.sockets import read_ports
from services.runtime.secrets.files import FromEnvironment, create_client_context, load_chain
from services.runtime.secrets.local_secrets import BROKER_USER, read_password


class KafkaSecurity(FromEnvironment):
    """Settings of TLS and SASL. Raises pydantic.ValidationError naming the variable."""

    model_config = SettingsConfigDict(
        env_prefix="VIGIE_KAFKA_", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    tls: bool = False
    """`1`: encrypt and check the broker's name. There is no TLS without a check."""
    ca: Path | None = None
    """PEM file of the authority that signed the brokers' certificates; default: system ones."""
    cert: Path | None = None
    """PEM file of this client's certificate chain, for brokers that ask for one."""
    cert_key: Path | None = None
    """PEM file of the key of that certificate."""
    user: str = ""
    """User name for SASL; empty = no SASL."""
    password: SecretStr = SecretStr("")
    """Password of that user."""
    sasl: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = Field(default="SCRAM-SHA-512")
    """Mechanism:

    `SCRAM-SHA-512`, `SCRAM-SHA-256`, or `PLAIN` (with TLS or a private network only).
    """
    private_network: bool = False
    """`1`: only Vigie and its brokers use this network, so `PLAIN` may go without TLS."""

    @classmethod
    def of_password(cls, user: str, password: str) -> Self:
        """Return SCRAM without TLS for loopback, regardless of the environment."""
        login_fields: dict[str, Any] = {
            "user": user,
            "password": SecretStr(password),
            "sasl": "SCRAM-SHA-512",
        }
        return cls(tls=False, ca=None, cert=None, cert_key=None, **login_fields)

    @classmethod
    def of_cluster(cls, user: str, password: str, authority: Path) -> Self:
        """Return SCRAM over TLS for the brokers of a cluster, regardless of the environment."""
        login_fields: dict[str, Any] = {
            "user": user,
            "password": SecretStr(password),
            "sasl": "SCRAM-SHA-512",
        }
        return cls(tls=True, ca=authority, cert=None, cert_key=None, **login_fields)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.ca or self.cert) and not self.tls:
            raise ValueError("VIGIE_KAFKA_CA and VIGIE_KAFKA_CERT are for VIGIE_KAFKA_TLS=1")
        if (self.cert is None) is not (self.cert_key is None):
            raise ValueError("VIGIE_KAFKA_CERT and VIGIE_KAFKA_CERT_KEY go together")
        if self.user and not self.password.get_secret_value():
            raise ValueError("VIGIE_KAFKA_USER needs VIGIE_KAFKA_PASSWORD")
        if self.user and self.sasl == "PLAIN" and not self.tls and not self.private_network:
            raise ValueError(
                "VIGIE_KAFKA_SASL=PLAIN sends the password as it is: set VIGIE_KAFKA_TLS=1"
            )
        self.context()
        return self

    def context(self) -> ssl.SSLContext | None:
        """Return the TLS context, or None without TLS.

        Raises ValueError with the name of the variable for a file that is missing or no
        certificate.
        """
        if not self.tls:
            return None
        try:
            context = create_client_context(self.ca)
        except ValueError as error:
            raise ValueError(f"VIGIE_KAFKA_CA: {error}") from error
        if self.cert is not None and self.cert_key is not None:
            try:
                load_chain(context, self.cert, self.cert_key)
            except ValueError as error:
                raise ValueError(f"VIGIE_KAFKA_CERT, VIGIE_KAFKA_CERT_KEY: {error}") from error
        return context

    def options(self) -> dict[str, Any]:
        """Return the keyword arguments of every aiokafka client."""
        if not self.tls and not self.user:
            return {}
        client_options: dict[str, Any] = {
            "security_protocol": ("SASL_" if self.user else "")
            + ("SSL" if self.tls else "PLAINTEXT")
        }
        if self.tls:
            client_options["ssl_context"] = self.context()
        if self.user:
            client_options |= {
                "sasl_mechanism": self.sasl,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password.get_secret_value(),
            }
        return client_options


_override: KafkaSecurity | None = None


def use_security(security: KafkaSecurity | None) -> None:
    """Make every later client of this process log in like this; None = by the environment.

    For a process that has started the broker itself.
    """
    global _override
    _override = security
    get_security.cache_clear()
    _get_options.cache_clear()


@lru_cache(maxsize=1)
def get_security() -> KafkaSecurity:
    """Return the login of this process to Kafka.

    The password of the broker of `vigie up` is found in the data directory. Raises ValidationError.
    """
    if _override is not None:
        return _override
    security = KafkaSecurity()
    return security if security.user or security.tls else _read_embedded_security() or security


def read_cluster_security(secrets: Path) -> KafkaSecurity | None:
    """Return the login of the brokers of this machine's cluster, or None without a password."""
    password = read_password(secrets)
    if password is None:
        return None
    return KafkaSecurity.of_cluster(BROKER_USER, password, secrets / AUTHORITY_FILE)


def _read_embedded_security() -> KafkaSecurity | None:
    """Return the login of the embedded broker or cluster, if this process uses it."""
    settings = Settings()
    member = read_member(settings.data.secrets)
    if member is not None and member.uses(settings.kafka):
        return read_cluster_security(settings.data.secrets)
    if not uses_embedded_broker(settings):
        return None
    password = read_password(settings.data.secrets)
    return None if password is None else KafkaSecurity.of_password(BROKER_USER, password)


def uses_embedded_broker(settings: Settings) -> bool:
    """Return whether the broker is the one that `vigie up` runs on this data directory."""
    port = read_ports(settings.data.ports).get("kafka")
    return port is not None and settings.kafka == f"127.0.0.1:{port}"


def get_client_options() -> dict[str, Any]:
    """Return the options for `AIOKafkaProducer(bootstrap_servers=…, **client_options())`.

    Empty without TLS and SASL.
    """
    return dict(_get_options())


@lru_cache(maxsize=1)
def _get_options() -> dict[str, Any]:
    return get_security().options()


def build_faust_credentials() -> Any:
    """Return the same options for Faust's app; None without TLS and SASL."""
    security = get_security()
    if security.user:
        return faust.SASLCredentials(
            username=security.user,
            password=security.password.get_secret_value(),
            ssl_context=security.context(),
            mechanism=security.sasl,
        )
    return faust.SSLCredentials(security.context()) if security.tls else None
