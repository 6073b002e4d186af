"""Actions in the console: routes, queries, resources and the page. Rule D87."""
