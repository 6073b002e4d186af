"""Send the console's commands, each with a span of its request."""

from schemas.base import Message
from services.runtime.kafka.clients import RecordProducer
from services.runtime.process import tracing


class CommandProducer(RecordProducer):
    """A producer with a span for each command. Safe for concurrent use."""

    async def send(
        self,
        topic: str,
        realm: str,
        message: Message,
        *,
        id: str,
        source: str,
        correlation_id: str | None = None,
        traceparent: str | None = None,
    ) -> tuple[int, int]:
        """Send a message, as a child of the request's span."""
        with tracing.trace_request(
            f"console send {message.wire_type()}", lambda: {"vigie.realm": realm, "vigie.input": id}
        ) as span:
            return await super().send(
                topic,
                realm,
                message,
                id=id,
                source=source,
                correlation_id=correlation_id,
                traceparent=traceparent if span is None else span.traceparent,
            )
