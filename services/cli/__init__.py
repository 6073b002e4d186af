"""The `vigie` command: composition only.

One module per command or group of commands; `__main__.COMMANDS_BY_PANEL` lists them.
"""
