"""Requests to Kafka about its quorum and brokers that the client library does not bring.

Any broker passes them to the active controller. The forms are those of Kafka 4.3, whose messages
are published with its source.
"""

import struct
from io import BytesIO
from typing import Any, Final

from aiokafka.protocol.api import RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

METADATA_TOPIC: Final = "__cluster_metadata"
CONTROLLER_LISTENER: Final = "CONTROLLER"
QUORUM_FEATURE: Final = "kraft.version"
KEYSTORE_SETTING: Final = "listener.name.sasl_ssl.ssl.keystore.location"
TIMEOUT_MS: Final = 20_000
_BROKER_RESOURCE: Final = 4
_DELETE: Final = 1


class ClusterRequest:
    """A request in the one form that this module knows, with its values."""

    def __init__(self, form: Any, *values: object) -> None:
        self._form, self._values = form, values

    def prepare(self, versions: object) -> Any:  # noqa: ARG002  called by the connection
        """Return the form to send; other versions of the broker do not count."""
        return self._form(*self._values, {})


class UnsignedInt16:
    """A port on the wire."""

    @classmethod
    def encode(cls, value: int) -> bytes:
        """Return two bytes."""
        return struct.pack(">H", value)

    @classmethod
    def decode(cls, data: BytesIO) -> int:
        """Read two bytes."""
        (value,) = struct.unpack(">H", data.read(2))
        return int(value)


class DirectoryId:
    """The 16 bytes that name a directory of a node."""

    @classmethod
    def encode(cls, value: bytes) -> bytes:
        """Return the bytes as they are."""
        return value

    @classmethod
    def decode(cls, data: BytesIO) -> bytes:
        """Read 16 bytes."""
        return data.read(16)


def _define_form(key: int, version: int, fields: Any, answer: Any) -> Any:
    """Return the class of a request and, with it, of its answer."""
    numbers = {"API_KEY": key, "API_VERSION": version}
    response = type("Answer", (Response,), numbers | {"SCHEMA": answer})
    content = {"SCHEMA": fields, "RESPONSE_TYPE": response, "FLEXIBLE_VERSION": True}
    return type("Form", (RequestStruct,), numbers | content)


_TAGS: Final = ("tags", TaggedFields)
_TEXT: Final = CompactString("utf-8")
_LISTENERS: Final = CompactArray(("name", _TEXT), ("host", _TEXT), ("port", UnsignedInt16), _TAGS)
_OUTCOME: Final = Schema(
    ("throttle_time_ms", Int32), ("error_code", Int16), ("error_message", _TEXT), _TAGS
)
_REPLICA_STATES: Final = CompactArray(
    ("replica_id", Int32),
    ("directory_id", DirectoryId),
    ("log_end_offset", Int64),
    ("last_fetch_ms", Int64),
    ("last_caught_up_ms", Int64),
    _TAGS,
)
_PARTITION: Final = CompactArray(
    ("partition", Int32),
    ("error_code", Int16),
    ("error_message", _TEXT),
    ("leader_id", Int32),
    ("leader_epoch", Int32),
    ("high_watermark", Int64),
    ("voters", _REPLICA_STATES),
    ("observers", _REPLICA_STATES),
    _TAGS,
)
_DESCRIBE_QUORUM: Final = _define_form(
    55,
    2,
    Schema(
        (
            "topics",
            CompactArray(
                ("topic", _TEXT), ("partitions", CompactArray(("partition", Int32), _TAGS)), _TAGS
            ),
        ),
        _TAGS,
    ),
    Schema(
        ("error_code", Int16),
        ("error_message", _TEXT),
        ("topics", CompactArray(("topic", _TEXT), ("partitions", _PARTITION), _TAGS)),
        ("nodes", CompactArray(("node_id", Int32), ("listeners", _LISTENERS), _TAGS)),
        _TAGS,
    ),
)
_UPDATE_FEATURES: Final = _define_form(
    57,
    1,
    Schema(
        ("timeout_ms", Int32),
        (
            "updates",
            CompactArray(("feature", _TEXT), ("version", Int16), ("downgrade_type", Int8), _TAGS),
        ),
        ("validate_only", Boolean),
        _TAGS,
    ),
    Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", _TEXT),
        (
            "results",
            CompactArray(
                ("feature", _TEXT), ("error_code", Int16), ("error_message", _TEXT), _TAGS
            ),
        ),
        _TAGS,
    ),
)
_ADD_VOTER: Final = _define_form(
    80,
    0,
    Schema(
        ("cluster_id", _TEXT),
        ("timeout_ms", Int32),
        ("voter_id", Int32),
        ("directory_id", DirectoryId),
        ("listeners", _LISTENERS),
        _TAGS,
    ),
    _OUTCOME,
)
_REMOVE_VOTER: Final = _define_form(
    81,
    0,
    Schema(("cluster_id", _TEXT), ("voter_id", Int32), ("directory_id", DirectoryId), _TAGS),
    _OUTCOME,
)
_CHANGE_SETTINGS: Final = _define_form(
    44,
    1,
    Schema(
        (
            "resources",
            CompactArray(
                ("resource_type", Int8),
                ("resource_name", _TEXT),
                (
                    "configs",
                    CompactArray(
                        ("name", _TEXT), ("config_operation", Int8), ("value", _TEXT), _TAGS
                    ),
                ),
                _TAGS,
            ),
        ),
        ("validate_only", Boolean),
        _TAGS,
    ),
    Schema(
        ("throttle_time_ms", Int32),
        (
            "responses",
            CompactArray(
                ("error_code", Int16),
                ("error_message", _TEXT),
                ("resource_type", Int8),
                ("resource_name", _TEXT),
                _TAGS,
            ),
        ),
        _TAGS,
    ),
)
_UNREGISTER_BROKER: Final = _define_form(64, 0, Schema(("broker_id", Int32), _TAGS), _OUTCOME)


def describe_quorum() -> ClusterRequest:
    """Return the question for voters, observers and their positions."""
    return ClusterRequest(_DESCRIBE_QUORUM, [(METADATA_TOPIC, [(0, {})], {})])


def open_quorum() -> ClusterRequest:
    """Return the request that lets machines join the quorum of a single node."""
    updates: list[Any] = [(QUORUM_FEATURE, 1, 1, {})]
    return ClusterRequest(_UPDATE_FEATURES, TIMEOUT_MS, updates, False)


def add_voter(cluster: str, voter: int, directory: bytes, host: str, port: int) -> ClusterRequest:
    """Return the request that gives a controller a vote."""
    listeners: list[Any] = [(CONTROLLER_LISTENER, host, port, {})]
    return ClusterRequest(_ADD_VOTER, cluster, TIMEOUT_MS, voter, directory, listeners)


def remove_voter(cluster: str, voter: int, directory: bytes) -> ClusterRequest:
    """Return the request that takes the vote of a controller."""
    return ClusterRequest(_REMOVE_VOTER, cluster, voter, directory)


def unregister_broker(broker: int) -> ClusterRequest:
    """Return the request that removes a broker, which is gone for good, from the metadata."""
    return ClusterRequest(_UNREGISTER_BROKER, broker)


def reload_certificates(broker: int) -> ClusterRequest:
    """Return the request, for this very broker, to read its certificate files again.

    A broker reads them when one of its own settings changes, also if it takes back a setting that
    it does not have. So nothing about paths stays in the metadata of the cluster.
    """
    removals: list[Any] = [(KEYSTORE_SETTING, _DELETE, None, {})]
    resources: list[Any] = [(_BROKER_RESOURCE, str(broker), removals, {})]
    return ClusterRequest(_CHANGE_SETTINGS, resources, False)
