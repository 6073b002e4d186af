"""On-call schedules and readiness."""
