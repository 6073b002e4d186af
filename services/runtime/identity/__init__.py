"""Accounts, sessions, passkeys, OpenID Connect, permissions and signed links."""
