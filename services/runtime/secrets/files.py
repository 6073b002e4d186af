"""Settings from flags, the environment and secret files; certificates that they name.

An empty variable counts as not set. `VIGIE_SECRETS_DIR` names a folder with one file per variable
(`vigie_kafka_password`), as Docker and Kubernetes mount them.
"""

import os
import ssl
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)


class SecretsMissing(ValueError):
    """`VIGIE_SECRETS_DIR` names no folder.

    Without this error, a password that was not read would look like one that was not set.
    """


class FromEnvironment(BaseSettings):
    """Base of every settings class.

    Raises pydantic.ValidationError, SecretsMissing: `describe_wrong_variables` describes them.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, allow_inf_nan=False)

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # called by keyword; the other sources are not used
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        **_: Any,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources, first one first."""
        folder = os.environ.get("VIGIE_SECRETS_DIR")
        if not folder:
            return init_settings, env_settings
        if not Path(folder).is_dir():
            raise SecretsMissing(f"VIGIE_SECRETS_DIR: no folder {folder}")
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder)


def describe_wrong_variables(error: ValueError) -> str | None:
    """Describe in one line the variables that cannot be read; None for an unrelated error."""
    if isinstance(error, SecretsMissing):
        return str(error)
    kind = _find_settings_class(error.title) if isinstance(error, ValidationError) else None
    if kind is None or not isinstance(error, ValidationError):
        return None
    prefix = str(kind.model_config.get("env_prefix", ""))
    return "; ".join(
        _format_fault(
            prefix, ".".join(map(str, e["loc"])).upper(), e["msg"].removeprefix("Value error, ")
        )
        for e in error.errors()
    )


def _find_settings_class(title: str) -> type[FromEnvironment] | None:
    classes = [FromEnvironment]
    while classes:
        kind = classes.pop()
        if kind.__name__ == title:
            return kind
        classes += kind.__subclasses__()
    return None


def _format_fault(prefix: str, field: str, why: str) -> str:
    """Return the message for one variable.

    An error about several variables together (`field` is empty) names them itself.
    """
    return why if not field else f"{field if field.startswith(prefix) else prefix + field}: {why}"


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
