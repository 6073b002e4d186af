"""Share equal reference data between realms.

Twenty exercises would otherwise hold twenty copies of every site, role and plan.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TypeVar
from weakref import WeakValueDictionary

from schemas.base import Model

M = TypeVar("M", bound=Model)
_shared_objects: WeakValueDictionary[tuple[type[Model], bytes], Model] = WeakValueDictionary()


def share_object(data: M) -> M:
    """Return `data`, or an equal object that is already in memory.

    Models are immutable, so sharing is invisible. Costs milliseconds for a large section.
    """
    shared_object = _shared_objects.setdefault(
        (type(data), blake2b(data.model_dump_json().encode(), digest_size=16).digest()), data
    )
    assert isinstance(shared_object, type(data))
    return shared_object
