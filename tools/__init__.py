"""Generate documentation and check the house style, for developers."""
