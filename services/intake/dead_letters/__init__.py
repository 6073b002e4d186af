"""Keep refused reports and replay them."""
