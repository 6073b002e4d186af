"""Certificate files that settings name: looked at when the settings are read, so that a wrong one is refused by the name of its variable."""

from __future__ import annotations

import ssl
from pathlib import Path


def load_chain(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Raises ValueError that names the file: a certificate, and its key without a passphrase."""
    for path in (cert, key):
        readable(path)
    try:
        context.load_cert_chain(cert, key, password="")
    except OSError as error:
        raise ValueError(
            f"{cert} and {key} are no certificate and its key without a passphrase ({error})"
        ) from error


def trusting(authority: Path | None) -> ssl.SSLContext:
    """A client's context; None = the authorities of this machine. Raises ValueError that names the file."""
    if authority is not None:
        readable(authority)
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ValueError(f"{authority} holds no certificate ({error})") from error


def readable(path: Path) -> None:
    """Raises ValueError."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"no file {path} ({error.strerror})") from error
