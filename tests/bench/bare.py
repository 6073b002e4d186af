"""Baseline of the front door: a bare FastAPI route with the same body and record."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Response
from pydantic import ConfigDict

from schemas.reports import ReportReceived
from schemas.topics import input_topic
from services.intake.reports.native import NativeReport
from services.runtime.kafka.clients import RecordProducer
from tests.marks import MARKS

producer: RecordProducer


@asynccontextmanager
async def _producing(_: FastAPI) -> AsyncIterator[None]:
    global producer
    async with RecordProducer(os.environ["VIGIE_KAFKA"], MARKS) as producer:
        yield


app = FastAPI(lifespan=_producing)


class Body(NativeReport):
    """Body with FastAPI's default validation."""

    model_config = ConfigDict(strict=False)


@app.post("/api/v1/reports", status_code=202)
async def report(body: Body, response: Response) -> dict[str, str]:
    """Validate, produce, answer."""
    id = uuid.uuid4().hex
    received = ReportReceived(
        report_id=id,
        source="cellule",
        site_id=body.site_id,
        type=body.type,
        severity=body.severity,
        occurred_at=int(body.occurred_at.timestamp() * 1000),
        text_id=f"report-{id}",
    )
    await producer.send(input_topic("alerts"), "92", received, id=id, source="/bare")
    response.headers["Location"] = f"/api/v1/reports/{id}"
    return {"report_id": id, "realm": "92", "recorded_at": "", "status_url": ""}


if __name__ == "__main__":
    host, port = os.environ["VIGIE_HTTP"].split(":")
    asyncio.run(
        uvicorn.Server(
            uvicorn.Config(
                app,
                host,
                int(port),
                log_level="warning",
                access_log=False,
                http="httptools",
                loop="uvloop",
            )
        ).serve()
    )
