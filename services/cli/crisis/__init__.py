"""Commands for reports, decisions and documents of a crisis."""
