"""A one-time invitation: everything that a machine needs to join, sealed under a random code.

    vigie1.CODE.SEALED

The text holds its own code, so it is as secret as `secrets/master.key`: the seal shows every
change, and keeps programs that look for keys from finding any. The brokers remember which
invitations exist, until when, and who has used them.
"""

import base64
import binascii
import json
import os
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from services.runtime.process.cluster import AUTHORITY_FILE, AUTHORITY_KEY_FILE, Machine
from services.runtime.secrets.keyring import INPUTS_SINCE_FILE, KEY_BYTES, decrypt, encrypt
from services.runtime.secrets.local_secrets import PASSWORD_FILE, TOKEN_FILE
from services.runtime.secrets.signing import PRIVATE_FILE, PUBLIC_FILE, SigningKey

FORM: Final = "vigie1"
MAX_SEALED_BYTES: Final = 256 << 10
VALID_H: Final = 24
"""Hours in which an invitation can be used."""
SHARED_SECRETS: Final = (
    "master.key",
    INPUTS_SINCE_FILE,
    PASSWORD_FILE,
    TOKEN_FILE,
    PRIVATE_FILE,
    PUBLIC_FILE,
    "admin.token",
    "admin.code",
    "feeds.salt",
    AUTHORITY_FILE,
    AUTHORITY_KEY_FILE,
)
"""Files of `secrets/` that all machines have in common. Missing ones are left out."""
SHARED_FOLDERS: Final = ("feeds", "feeds-samples")
"""Folders of `secrets/` that all machines have in common."""
_BOUND_TO: Final = b"vigie invitation 1"


class InvitationInvalid(ValueError):
    """The text is no invitation, was changed, or cannot be used any more."""


@dataclass(frozen=True, slots=True)
class Invitation:
    """Contents of an invitation."""

    id: str
    """Its name on the brokers."""
    expires_at: int
    """Time in ms from which it cannot be used."""
    cluster: str
    number: int
    """Number of the invited machine."""
    machines: tuple[Machine, ...]
    secrets: dict[str, bytes]
    """Content of each shared file, by its path in `secrets/`."""


def seal_invitation(invitation: Invitation) -> str:
    """Return the text to give to the operator of the new machine."""
    content: dict[str, Any] = asdict(invitation)
    content["secrets"] = {
        name: base64.b64encode(value).decode() for name, value in invitation.secrets.items()
    }
    code = os.urandom(KEY_BYTES)
    ciphertext = encrypt(code, zlib.compress(json.dumps(content).encode(), 9), _BOUND_TO)
    return ".".join([FORM, _encode(code), _encode(ciphertext)])


def open_invitation(text: str) -> Invitation:
    """Return the invitation of a text. Blanks and line ends are ignored.

    Raises InvitationInvalid.
    """
    form, *parts = "".join(text.split()).split(".")
    if form != FORM or len(parts) != 2:
        raise InvitationInvalid("this is no invitation: it begins with vigie1 and has three parts")
    try:
        code, ciphertext = (_decode(part) for part in parts)
        unsealer = zlib.decompressobj()
        plain = unsealer.decompress(decrypt(code, ciphertext, _BOUND_TO), MAX_SEALED_BYTES)
        return _parse(json.loads(plain))
    except (ValueError, TypeError, KeyError, zlib.error, binascii.Error) as error:
        raise InvitationInvalid(
            "the invitation is cut off or was changed: copy it again"
        ) from error


def _parse(content: dict[str, Any]) -> Invitation:
    secrets = {name: base64.b64decode(value) for name, value in content["secrets"].items()}
    for name in secrets:
        if not _is_shared(name):
            raise ValueError(f"{name} is no shared secret")
    return Invitation(
        id=str(content["id"]),
        expires_at=int(content["expires_at"]),
        cluster=str(content["cluster"]),
        number=int(content["number"]),
        machines=tuple(Machine(**each) for each in content["machines"]),
        secrets=secrets,
    )


def _is_shared(name: str) -> bool:
    """Return whether a file is one that an invitation may write."""
    folder, slash, file = name.partition("/")
    if not slash:
        return name in SHARED_SECRETS
    return folder in SHARED_FOLDERS and "/" not in file and not file.startswith(".")


def collect_secrets(secrets: Path) -> dict[str, bytes]:
    """Return the content of every shared file. Raises OSError.

    Make the signing key if no process has needed it yet: all machines sign with one.
    """
    if not (secrets / PRIVATE_FILE).exists():
        SigningKey.open(secrets)
    contents = {
        name: (secrets / name).read_bytes() for name in SHARED_SECRETS if (secrets / name).is_file()
    }
    for folder in SHARED_FOLDERS:
        for path in sorted((secrets / folder).glob("*")):
            if path.is_file() and not path.name.startswith("."):
                contents[f"{folder}/{path.name}"] = path.read_bytes()
    return contents


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
