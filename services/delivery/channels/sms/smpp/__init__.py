"""SMPP 3.4, as much of it as a sender of messages needs: a codec and one transceiver session."""
