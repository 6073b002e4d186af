"""One system for tests that need the demo or a real channel, or that kill its processes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system import RunningVigie


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVigie]:
    """Return a system of this worker alone, as `make up` starts it, with web push.

    Its tests run in the order of their files: the live realm is calm until a person is called.
    """
    with RunningVigie(
        tmp_path_factory.mktemp("demo"),
        demo=True,
        VIGIE_PUSH_CONTACT="mailto:veille@vigie.example",
        VIGIE_PUSH_SERVICES="127.0.0.1",
    ) as running:
        yield running
