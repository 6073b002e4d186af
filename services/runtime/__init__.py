"""The runtime that every service uses. It knows no word of the domain."""
