"""Assignment of partitions that moves those of live realms last."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor


class LastingAssignor(PartitionAssignor):
    """Faust's sticky assignor, with a choice of the partitions that a member gives away.

    A member that comes back gets its share from the others. Faust takes their lowest partitions,
    which are those of live realms: all decisions waited for a worker that had just started.
    """

    def assign(self, cluster: Any, member_metadata: Mapping[str, Any]) -> Any:
        """Return the partitions of each member. Only the leader of the group is asked."""
        members = {
            member: self._give_away(cluster, metadata, len(member_metadata))
            for member, metadata in member_metadata.items()
        }
        return super().assign(cluster, members)

    def _give_away(self, cluster: Any, metadata: Any, member_count: int) -> Any:
        """Return the metadata of a member without its highest partitions beyond its share."""
        own = ClientMetadata.loads(metadata.user_data)
        for topic, partitions in own.assignment.actives.items():
            partition_count = len(cluster.partitions_for_topic(topic) or partitions)
            share = math.ceil(partition_count / member_count)
            own.assignment.actives[topic] = sorted(partitions)[:share]
        return type(metadata)(metadata.version, metadata.subscription, own.dumps())
