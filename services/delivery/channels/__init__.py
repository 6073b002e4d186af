"""Channels to people in live realms: one module each, with settings, their linter and a driver.

The settings decide which channels exist. Their limits, doubt and receipts are in
`services.delivery.notifications.channel_policies`.
"""
