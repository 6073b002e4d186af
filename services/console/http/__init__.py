"""Share context, decisions, answers and limits between the routes of the API."""
