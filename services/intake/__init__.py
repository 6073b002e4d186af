"""The front door: reports are accepted here as soon as Kafka has them, everything else is streamed to the console."""
