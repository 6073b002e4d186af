"""Single records of a territory as forms: read, changed, created, withdrawn and checked. Rule D86."""
