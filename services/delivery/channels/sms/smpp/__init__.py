"""SMPP 3.4 for a sender of messages: a codec and one transceiver session."""
