"""The cluster's own authority, and the certificate of each machine's broker."""

from __future__ import annotations

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

VALID_DAYS: Final = 3650
"""Ten years: an expired certificate would end a cluster that nobody looks at."""
_CLOCK_SKEW: Final = timedelta(days=1)


def create_authority(secrets: Path) -> None:
    """Create the authority of a new cluster, unless its files exist. Raises OSError."""
    if (secrets / AUTHORITY_KEY_FILE).exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    name = _build_name("Vigie cluster")
    certificate = (
        _begin_certificate(name, name, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_build_key_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    write_private(secrets / AUTHORITY_FILE, certificate.public_bytes(Encoding.PEM), replace=True)
    write_private(secrets / AUTHORITY_KEY_FILE, _dump_key(key), replace=True)


def create_broker_certificate(secrets: Path, host: str) -> None:
    """Create key and certificate for the broker at this host; replaces those before.

    Raises OSError, ValueError.
    """
    signer = load_pem_private_key((secrets / AUTHORITY_KEY_FILE).read_bytes(), None)
    authority = x509.load_pem_x509_certificate((secrets / AUTHORITY_FILE).read_bytes())
    assert isinstance(signer, ec.EllipticCurvePrivateKey), "made by create_authority"
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _begin_certificate(_build_name(host[:64]), authority.subject, key.public_key())
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


def _begin_certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=VALID_DAYS))
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


def _build_name(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _build_subject(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _dump_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
