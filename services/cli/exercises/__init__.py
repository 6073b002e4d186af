"""Commands for exercises and what-if runs."""
