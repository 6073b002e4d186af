"""REST resources: one module each with a `router`; `services.console.app` collects them."""
