"""People: presence, answers, numbers and simulated responders."""
