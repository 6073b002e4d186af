"""A channel is one row and one module; nothing else lists it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from schemas.catalogue.channels import CHANNELS, Channel
from services.console.i18n import get_translator
from services.delivery import channels
from services.delivery.channels.configured import load_channel_types
from services.delivery.notifications.channel_policies import DEFAULT_POLICIES
from services.territory.source import CHANNELS as TERRITORY_CHANNELS

SIGNAL = """
from contextlib import nullcontext

from schemas.catalogue.channels import Channel
from services.delivery.channels.base import ChannelType
from services.delivery.channels.chat import ChatSettings

CHANNEL = ChannelType(
    Channel.CHAT,
    settings=ChatSettings,
    provider="chat_schemes",
    open=lambda settings, _inbox: nullcontext(settings),
    lint=lambda _settings: (),
)
"""


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Create a second place with folders of channels."""
    monkeypatch.setattr(channels, "__path__", [*channels.__path__, str(tmp_path)])
    load_channel_types.cache_clear()
    yield tmp_path
    load_channel_types.cache_clear()


def test_every_channel_has_a_row_a_policy_and_a_driver() -> None:
    assert set(CHANNELS) == set(Channel), "add a row to schemas/catalogue/channels.py"
    assert set(DEFAULT_POLICIES) == set(Channel), "add a policy to channel_policies.py"
    assert sorted(t.channel for t in load_channel_types()) == sorted(Channel), (
        "add a module with CHANNEL to services/delivery/channels/"
    )


def test_names_of_channels_are_translated() -> None:
    _ = get_translator("en")
    assert [r.channel for r in CHANNELS.values() if _(r.label.fr) != r.label.en] == []


def test_names_of_channels_in_a_territory_stay() -> None:
    assert TERRITORY_CHANNELS == {
        "app": "app",
        "sms": "sms",
        "voix": "voice",
        "mail": "email",
        "messagerie": "chat",
    }


def test_a_new_module_is_a_channel(folders: Path) -> None:
    type_count = len(load_channel_types())
    load_channel_types.cache_clear()
    (folders / "signal_of_a_test.py").write_text(SIGNAL, encoding="utf-8")
    assert len(load_channel_types()) == type_count + 1


def test_a_folder_without_a_channel_is_named(folders: Path) -> None:
    (folders / "half_a_channel").mkdir()
    (folders / "half_a_channel" / "__init__.py").touch()
    with pytest.raises(TypeError, match="half_a_channel has no CHANNEL"):
        load_channel_types()
