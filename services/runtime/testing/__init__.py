"""Run the core of deciders in memory, without Kafka.

For unit tests of domains and for composing services in memory.
"""

from services.runtime.testing.memory import MemoryLog, MemoryService, StoredRecord
from services.runtime.testing.system import MemorySystem, NeverAtRest

__all__ = ["MemoryLog", "MemoryService", "MemorySystem", "NeverAtRest", "StoredRecord"]
