"""Run escalations: steps, responses, on-call persons and quiet hours."""
