"""What every route of the API shares: context, decisions, answers and limits."""
