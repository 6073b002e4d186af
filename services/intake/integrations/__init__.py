"""Accept requests of other programs. One module per protocol reads a request."""
