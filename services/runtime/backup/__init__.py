"""Everything of one installation in one encrypted file, and an installation from such a file (docs/how-to/back-up.md)."""
