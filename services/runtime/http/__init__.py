"""Problem documents, pagination and headers that the front and the console share."""
