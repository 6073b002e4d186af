"""Keep refused reports and offer them again."""
