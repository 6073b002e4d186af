"""Messages in words: a notification row in, the text of each channel out (rules D59 and D70).

A library for delivery, which sends them, and the console, which shows them. The words stand in
`fr.yaml` and `en.yaml`. A message says the level, what, where, since when, what is asked and until
when. It holds no personal data and no words of a reporter.
"""

from services.messages.composition import Text, compose
from services.messages.names import Names
from services.messages.phrases import LANGUAGES, Phrases, phrases

__all__ = ["LANGUAGES", "Names", "Phrases", "Text", "compose", "phrases"]
