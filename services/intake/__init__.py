"""Accept reports as soon as Kafka has them, and stream all other requests to the console."""
