"""Continuity: what a crisis does to the activities, how long they hold, and which plans answer (DOMAIN §7, §8)."""
