"""Accept reports of people in the field: text messages, typed lines and posters."""
