"""Read headers and the caller's network of a request, alike in front and console."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final

from services.runtime.http.problems import Language, ProblemError, build_fault

MAX_KEY_CHARS: Final = 128
Network = IPv4Network | IPv6Network


def read_key(header: str | None) -> str | None:
    """Return the key in a header. Raises ProblemError `key_invalid`.

    HTTP delivers headers as Latin-1, but clients write other characters in UTF-8.
    """
    if header is None:
        return None
    try:
        return check_key(header.encode("latin-1").decode("utf-8"))
    except UnicodeDecodeError:
        return check_key(header)


def check_key(key: str) -> str:
    """Check a key and return it. Raises ProblemError `key_invalid`."""
    if not 1 <= len(key) <= MAX_KEY_CHARS:
        raise ProblemError(
            "key_invalid",
            faults=(
                build_fault(
                    "Idempotency-Key",
                    "key_invalid",
                    f"1 à {MAX_KEY_CHARS} caractères",
                    f"1 to {MAX_KEY_CHARS} characters",
                ),
            ),
        )
    return key


def read_bearer(authorization: str | None) -> str | None:
    """Return the token of an `Authorization` header."""
    scheme, _, token = (authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def choose_language(accept_language: str | None) -> Language:
    """Choose `fr` or `en` from an `Accept-Language` header (RFC 9110 12.5.4); French by default."""
    best: tuple[float, Language] = (0.0, "fr")
    for part in (accept_language or "").lower().split(","):
        tag, _, params = part.strip().partition(";")
        language = tag.strip().split("-")[0]
        try:
            q = float(params.partition("q=")[2] or 1)
        except ValueError:
            q = 0.0
        if q > best[0] and language in ("fr", "en"):
            best = (q, "en" if language == "en" else "fr")
    return best[1]


@lru_cache(maxsize=4096)
def find_network(address: str, v4_prefix: int = 32, v6_prefix: int = 64) -> str:
    """Return the network that an address is counted in; an invalid address stands for itself.

    A household or an office has a /64 of IPv6, and each of its devices takes any number of
    addresses.
    """
    try:
        parsed_address = ip_address(address)
    except ValueError:
        return address
    if parsed_address.version == 6 and parsed_address.ipv4_mapped is not None:
        parsed_address = parsed_address.ipv4_mapped
    return str(
        ip_network(
            f"{parsed_address}/{v4_prefix if parsed_address.version == 4 else v6_prefix}",
            strict=False,
        )
    )


def is_within(address: str, networks: Iterable[Network]) -> bool:
    """Return whether an address lies in one of the networks."""
    try:
        parsed_address = ip_address(address)
    except ValueError:
        return False
    return any(
        parsed_address.version == network.version and parsed_address in network
        for network in networks
    )
