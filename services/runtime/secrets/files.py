"""Sources of settings: flags, the environment, then secret files.

An empty variable counts as not set. `VIGIE_SECRETS_DIR` names a folder with one file per variable
(`vigie_kafka_password`), as Docker and Kubernetes mount them.
"""

from __future__ import annotations

import os
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
