"""Verify the XML signature of a message against the certificates pinned for its source."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from lxml import etree
from signxml.exceptions import SignXMLException
from signxml.verifier import SignatureConfiguration, XMLVerifier

from services.intake.http.xml import Element

_SIGNATURE: Final = "{http://www.w3.org/2000/09/xmldsig#}Signature"
_SIGNATURE_CONFIG: Final = SignatureConfiguration(location="./", expect_references=1)
log = structlog.get_logger(__name__)


class SignatureVerdict(StrEnum):
    UNSIGNED = "unsigned"
    UNCHECKED = "unchecked"
    """Signed, but no certificate is pinned for the source."""
    VALID = "valid"
    INVALID = "invalid"
    """Signed by another certificate, over other content, or only in part."""


def verify_signature(root: Element, body: bytes, certificates: Sequence[str]) -> SignatureVerdict:
    """Check whether a pinned certificate signed the whole message. Never raises."""
    if root.find(_SIGNATURE) is None:
        return SignatureVerdict.UNSIGNED
    if not certificates:
        return SignatureVerdict.UNCHECKED
    return (
        SignatureVerdict.VALID
        if any(_is_signed_by(root, body, pem) for pem in certificates)
        else SignatureVerdict.INVALID
    )


def _is_signed_by(root: Element, body: bytes, pem: str) -> bool:
    try:
        signature_check = XMLVerifier().verify(body, x509_cert=pem, expect_config=_SIGNATURE_CONFIG)
    except (
        SignXMLException,
        InvalidSignature,
        etree.LxmlError,
        ValueError,
        TypeError,
        KeyError,
    ) as error:
        log.debug("cap.signature", why=type(error).__name__)
        return False
    signed_element = (
        signature_check[0].signed_xml
        if isinstance(signature_check, list)
        else signature_check.signed_xml
    )
    return signed_element is not None and signed_element.tag == root.tag
    # A signature over a part does not protect the rest.


def check_certificate(pem: str) -> None:
    """Check that a certificate is readable. Raises ValueError."""
    x509.load_pem_x509_certificate(pem.encode())
