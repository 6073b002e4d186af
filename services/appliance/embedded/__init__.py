"""The servers that `vigie up` brings along, Kafka and Valkey, as child processes on loopback."""
