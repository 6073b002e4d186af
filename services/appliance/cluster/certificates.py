"""The cluster's own authority, and the certificate of each machine's broker."""

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

from services.runtime.process.cluster import (
    AUTHORITY_FILE,
    AUTHORITY_KEY_FILE,
    BROKER_CERTIFICATE_FILE,
)
from services.runtime.secrets.keyring import write_private

AUTHORITY_DAYS: Final = 3650
"""Validity of the authority; every machine renews its copy at half of it."""
BROKER_DAYS: Final = 365
"""Validity of a broker's certificate; its machine renews it at half of it."""
_CLOCK_SKEW: Final = timedelta(days=1)


def create_authority(secrets: Path, days: int = AUTHORITY_DAYS) -> None:
    """Create the authority of a new cluster, unless its files exist. Raises OSError."""
    if (secrets / AUTHORITY_KEY_FILE).exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Vigie cluster")])
    _write_authority(secrets, key, name, datetime.now(UTC) - _CLOCK_SKEW, days)
    write_private(secrets / AUTHORITY_KEY_FILE, _dump_key(key), replace=True)


def _write_authority(
    secrets: Path, key: ec.EllipticCurvePrivateKey, name: x509.Name, begin: datetime, days: int
) -> None:
    certificate = (
        _begin_certificate(name, name, key.public_key())
        .not_valid_before(begin)
        .not_valid_after(datetime.now(UTC) + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_build_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    write_private(secrets / AUTHORITY_FILE, certificate.public_bytes(Encoding.PEM), replace=True)


def create_broker_certificate(secrets: Path, host: str, days: int = BROKER_DAYS) -> None:
    """Create key and certificate for the broker at this host; replaces those before.

    It is valid from the authority's first day on, so a clock that was wrong for a while makes no
    certificate that is not valid yet. Raises OSError, ValueError.
    """
    signer = _load_authority_key(secrets)
    authority = read_certificate(secrets / AUTHORITY_FILE)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:64])])
    certificate = (
        _begin_certificate(name, authority.subject, key.public_key())
        .not_valid_before(authority.not_valid_before_utc)
        .not_valid_after(datetime.now(UTC) + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_build_key_usage(signs_certificates=False), critical=True)
        .add_extension(x509.SubjectAlternativeName([_build_subject(host)]), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .sign(signer, SHA256())
    )
    content = _dump_key(key) + certificate.public_bytes(Encoding.PEM)
    write_private(secrets / BROKER_CERTIFICATE_FILE, content, replace=True)


def renew_certificates(secrets: Path, host: str) -> list[str]:
    """Renew the authority and the broker's certificate at half of their validity.

    The authority keeps its key and name: its old certificate and the new one each verify every
    broker, so machines may renew their copies at any time and in any order. Returns the renewed
    files. Raises OSError, ValueError.
    """
    renewed = []
    authority = read_certificate(secrets / AUTHORITY_FILE)
    if _ends_within(authority, AUTHORITY_DAYS / 2):
        key = _load_authority_key(secrets)
        begin = authority.not_valid_before_utc
        _write_authority(secrets, key, authority.subject, begin, AUTHORITY_DAYS)
        renewed.append(AUTHORITY_FILE)
    if not _is_usable(secrets / BROKER_CERTIFICATE_FILE):
        create_broker_certificate(secrets, host)
        renewed.append(BROKER_CERTIFICATE_FILE)
    return renewed


def _is_usable(file: Path) -> bool:
    """Return whether a broker's certificate is whole and not due yet."""
    try:
        return not _ends_within(read_certificate(file), BROKER_DAYS / 2)
    except (FileNotFoundError, ValueError):
        return False


def _ends_within(certificate: x509.Certificate, days: float) -> bool:
    return certificate.not_valid_after_utc < datetime.now(UTC) + timedelta(days=days)


def read_certificate(file: Path) -> x509.Certificate:
    """Return the certificate of a PEM file, which may hold a key, too.

    Raises OSError, ValueError.
    """
    return x509.load_pem_x509_certificate(file.read_bytes())


def _load_authority_key(secrets: Path) -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key((secrets / AUTHORITY_KEY_FILE).read_bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), "made by create_authority"
    return key


def _begin_certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
    )


def _build_key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _build_subject(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _dump_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
