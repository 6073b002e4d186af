"""The pages: HTML rendered on the server from `Queries`, the same text at the first load and at every live refresh.

`routes.pages_router` is the only entry. Each screen has a module that turns resources into a view (pure, tested without HTTP) and a
template of the same name. The browser's part is in `static/js`.
"""
