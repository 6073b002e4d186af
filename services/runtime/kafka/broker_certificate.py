"""Read the certificates that brokers present."""

import asyncio
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from services.runtime.process import metrics
from services.runtime.process.settings import split_host_port

LOOK_S: Final = 3600.0
"""Interval of the looks at a certificate."""
RETRY_S: Final = 60.0
HANDSHAKE_S: Final = 3.0
WARNING_DAYS: Final = 90
"""Days before the end from which a certificate needs a person: Vigie renews its own earlier."""


async def fetch_certificate(address: str) -> x509.Certificate:
    """Return the certificate of the server at `HOST:PORT`, also one that has ended.

    Raises OSError, TimeoutError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False  # Nothing is sent: only the certificate is read
    context.verify_mode = ssl.CERT_NONE
    host, port = split_host_port(address)
    async with asyncio.timeout(HANDSHAKE_S):
        _, writer = await asyncio.open_connection(host, port, ssl=context)
    try:
        encoded = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(encoded)
    finally:
        writer.transport.abort()


async def find_first_end(addresses: Iterable[str], authority: Path | None) -> datetime | None:
    """Return the first end of a certificate of these brokers or of their authority.

    `authority` is its file; None = one of this machine's. Returns None if no broker answers.
    Raises OSError, ValueError.
    """
    answers = await asyncio.gather(
        *(fetch_certificate(address) for address in addresses), return_exceptions=True
    )
    certificates = [answer for answer in answers if isinstance(answer, x509.Certificate)]
    if certificates and authority is not None:
        certificates.append(await asyncio.to_thread(_read_last_authority, authority))
    return min(map(_get_end, certificates), default=None)


async def measure_first_end(kafka: str, authority: Path | None) -> None:
    """Keep the metric of the certificates of the brokers at these addresses, until cancelled."""
    while True:
        try:
            end = await find_first_end(kafka.split(","), authority)
        except (OSError, ValueError):
            end = None
        if end is not None:
            metrics.set_gauge("vigie_broker_certificate_end_seconds", end.timestamp())
        await asyncio.sleep(RETRY_S if end is None else LOOK_S)


def read_certificate(file: Path) -> x509.Certificate:
    """Return the certificate of a server from its file: the first of the chain.

    Raises OSError, ValueError.
    """
    return x509.load_pem_x509_certificates(file.read_bytes())[0]


def _read_last_authority(file: Path) -> x509.Certificate:
    """Return the authority of a file that ends last; a file may hold old ones, too."""
    return max(x509.load_pem_x509_certificates(file.read_bytes()), key=_get_end)


def _get_end(certificate: x509.Certificate) -> datetime:
    return certificate.not_valid_after_utc


def count_days(end: datetime) -> int:
    """Return the whole days until a time, negative after it."""
    return (end - datetime.now(UTC)).days


def describe_end(days: int) -> str:
    """Return the words for so many days until the end of a certificate."""
    return "has ended" if days < 0 else f"ends in {days} days"
