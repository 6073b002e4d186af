"""The broker and the store that `vigie up` brings along: real Kafka and Valkey servers, as child processes on loopback."""
