"""Reports go to the front of another machine while the own one is away."""

from __future__ import annotations

from pathlib import Path

import httpx2 as httpx
import pytest

from services.runtime.process.cluster import MajorityState, write_majority
from services.runtime.process.settings import Settings
from services.watch.engine import FrontAway
from services.watch.front import FrontClient, HttpFront, get_source_key_file, list_fronts

OWN, OTHER = "http://own", "http://other"
EVENT = {"id": "1"}


class Fronts(httpx.AsyncBaseTransport):
    """Two fronts; an answer of 0 is none."""

    def __init__(self, own: int, other: int) -> None:
        self._answers = {"own": own, "other": other}
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.host)
        status = self._answers[request.url.host]
        if status == 0:
            raise httpx.ConnectError("refused")
        return httpx.Response(status)


def open_front(folder: Path, fronts: Fronts) -> HttpFront:
    get_source_key_file(folder, "vigicrues").write_text("key")
    return HttpFront(FrontClient(lambda: [OWN, OTHER], fronts), folder)


@pytest.mark.parametrize("own", [0, 503])
async def test_another_front_takes_the_reports_of_one_that_is_away(
    tmp_path: Path, own: int
) -> None:
    fronts = Fronts(own, 202)
    await open_front(tmp_path, fronts).send("vigicrues", EVENT)
    assert fronts.asked == ["own", "other"]


async def test_the_own_front_is_enough(tmp_path: Path) -> None:
    fronts = Fronts(202, 202)
    await open_front(tmp_path, fronts).send("vigicrues", EVENT)
    assert fronts.asked == ["own"]


async def test_a_refusal_is_the_answer_of_all_fronts(tmp_path: Path) -> None:
    fronts = Fronts(401, 202)
    with pytest.raises(FrontAway, match="http 401"):
        await open_front(tmp_path, fronts).send("vigicrues", EVENT)
    assert fronts.asked == ["own"]


async def test_the_report_waits_while_all_fronts_are_away(tmp_path: Path) -> None:
    fronts = Fronts(0, 503)
    with pytest.raises(FrontAway, match="http 503"):
        await open_front(tmp_path, fronts).send("vigicrues", EVENT)


def test_the_fronts_of_a_cluster_follow_the_own_one(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, url=OWN)
    settings.data.make()
    assert list_fronts(settings) == [OWN]
    write_majority(settings.data.majority, MajorityState(True, 0, (OTHER,)))
    assert list_fronts(settings) == [OWN, OTHER]
