"""The words of messages: rows in, text in the reader's language out. French in the source, English in a catalogue (D60).

A message carries no detail that a stranger may not read (D59): level, role, numbers, never a name, an address or free text.
"""

from services.delivery.messages.compose import Names, Text, compose
from services.delivery.messages.languages import LANGUAGES, Translator, translator

__all__ = ["LANGUAGES", "Names", "Text", "Translator", "compose", "translator"]
