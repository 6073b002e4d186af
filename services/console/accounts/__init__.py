"""Login, accounts and devices of people."""
