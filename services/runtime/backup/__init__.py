"""Back up an installation into one encrypted file and restore it (`docs/how-to/back-up.md`)."""
