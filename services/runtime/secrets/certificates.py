"""Load certificate files when settings are read, so that an error names the variable."""

from __future__ import annotations

import ssl
from pathlib import Path


def load_chain(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Load a certificate and its key, without a passphrase.

    Raises ValueError that names the file.
    """
    for path in (cert, key):
        check_readable(path)
    try:
        context.load_cert_chain(cert, key, password="")
    except OSError as error:
        raise ValueError(
            f"{cert} and {key} are no certificate and its key without a passphrase ({error})"
        ) from error


def create_client_context(authority: Path | None) -> ssl.SSLContext:
    """Return a client's TLS context; None = the authorities of this machine.

    Raises ValueError that names the file.
    """
    if authority is not None:
        check_readable(authority)
    try:
        return ssl.create_default_context(cafile=authority)
    except OSError as error:
        raise ValueError(f"{authority} holds no certificate ({error})") from error


def check_readable(path: Path) -> None:
    """Check that a file can be read. Raises ValueError."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise ValueError(f"no file {path} ({error.strerror})") from error
