"""Compose messages: a notification row in, the text of each channel out.

A library for delivery, which sends them, and the console, which shows them. The phrases are in
`fr.yaml` and `en.yaml`. A message gives the level, event, place, start, request and time limit. It
holds no personal data and no text of a reporter. Rules D59 and D70.
"""

from services.messages.composition import MessageText, compose_message
from services.messages.names import MessageNames
from services.messages.phrases import LANGUAGES, Phrases, load_phrases

__all__ = ["LANGUAGES", "MessageNames", "MessageText", "Phrases", "compose_message", "load_phrases"]
