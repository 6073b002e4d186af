"""Start the console's producer with the first command, and again after the broker was away.

So reading never waits for it.
"""

import asyncio

from schemas.base import Message
from services.runtime.decider.inputs import InputMarks
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.process import tracing

SEND_TIMEOUT_S = 5.0


class CommandProducer:
    """A producer with the interface of `RecordProducer`. Safe for concurrent use."""

    def __init__(self, kafka: str, marks: InputMarks) -> None:
        self._kafka, self._marks = kafka, marks
        self._producer: RecordProducer | None = None
        self._starting = asyncio.Lock()

    async def _start_once(self) -> RecordProducer:
        async with self._starting:
            if self._producer is None:
                producer = RecordProducer(self._kafka, self._marks, timeout_s=SEND_TIMEOUT_S)
                try:
                    async with asyncio.timeout(SEND_TIMEOUT_S):
                        await producer.start()
                except TimeoutError as error:
                    await producer.stop()
                    raise BrokerAway("no broker within the time limit") from error
                self._producer = producer
        return self._producer

    async def send(
        self,
        topic: str,
        realm: str,
        message: Message,
        *,
        id: str,
        source: str,
        correlation_id: str | None = None,
    ) -> tuple[int, int]:
        """Send, and return (partition, offset) after all replicas have the record.

        Raises BrokerAway: repeat with the same id.
        """
        with tracing.trace_request(
            f"console send {message.wire_type()}", lambda: {"vigie.realm": realm, "vigie.input": id}
        ) as span:
            producer = self._producer or await self._start_once()
            return await producer.send(
                topic,
                realm,
                message,
                id=id,
                source=source,
                correlation_id=correlation_id,
                traceparent=None if span is None else span.traceparent,
            )

    async def stop(self) -> None:
        """Send buffered records, then close; at most 2 s."""
        if self._producer is not None:
            producer, self._producer = self._producer, None
            try:
                await asyncio.wait_for(producer.stop(), 2)
            except TimeoutError:
                return
