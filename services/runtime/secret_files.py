"""Where settings come from: flags, the environment, then secret files.

`VIGIE_SECRETS_DIR` names a folder with one file per variable (`vigie_kafka_password`), as Docker and Kubernetes mount them.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource


class FromEnvironment(BaseSettings):
    """Base of every settings class."""

    @classmethod
    def settings_customise_sources(  # type: ignore[override]  # called by keyword; the other sources are not used
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, env_settings: PydanticBaseSettingsSource, **_: Any
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """First one first."""
        folder = os.environ.get("VIGIE_SECRETS_DIR")
        if not folder or not Path(folder).is_dir():
            return init_settings, env_settings
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, secrets_dir=folder)
