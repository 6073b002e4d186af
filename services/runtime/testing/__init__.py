"""Run the core of deciders in memory, without Kafka.

For unit tests of domains and for composing services in memory.
"""

from services.runtime.testing.memory import MemoryLog, MemoryService, Stored
from services.runtime.testing.system import MemorySystem, NotSettled

__all__ = ["MemoryLog", "MemoryService", "MemorySystem", "NotSettled", "Stored"]
