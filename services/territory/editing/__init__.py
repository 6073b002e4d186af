"""Single records of a territory as forms: read, change, create, withdraw and check them. D86."""
