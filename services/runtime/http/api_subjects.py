"""Subjects of the HTTP API: the tag of an operation, and the sentence shown beside it.

A generated client has one module per subject. Front and console use the same table.
"""

from typing import Final

SUBJECTS: Final = {
    "reports": "Send reports, read them, confirm, deny or link them.",
    "incidents": "Read incidents and decide on them; evidence and CAP messages.",
    "picture": "Overview, sites, pôles, communes, levels, flags, hazards and changes.",
    "continuity": "Activities, plans, cards, triggers, alarms and contingency.",
    "reassignment": "Proposals that move staff, their approval and their steps.",
    "notifications": "Notifications, escalations, tasks, demands, and holding all sending.",
    "callouts": "Messages to many people, and headcounts.",
    "actions": "Actions asked of people, and site instructions.",
    "people": "Directory, its import, attendance and devices for web push.",
    "on call": "Shifts, overrides, swaps, calendars, readiness and drills.",
    "logistics": "Requests for resources, and levels of stocks.",
    "communication": "Statements, their templates, and questions.",
    "obligations": "Legal deadlines: clocks, drafts of declarations, proofs.",
    "ledger": "Costs with their sources in the log, and their sums.",
    "logbook": "Lines of the logbook (main courante).",
    "texts": "Erase texts that must not be kept.",
    "situation reports": "Situation reports and handovers: drafts, and what people signed.",
    "lessons learned": "Lessons learned from the log, and improvement actions.",
    "maintenance": "Maintenance windows, and leases of silences.",
    "reference": "Reference data, and the approval of its versions.",
    "realms": "Exercises and other realms: open, pace, close.",
    "decisions": "Results of commands that were still running when the call returned.",
    "live": "The live stream, and who is looking.",
    "sources": "Sources, their refused messages, unknown senders and official feeds.",
    "accounts": "Accounts, tokens, second factors and the caller's own account.",
    "integrations": "Addresses that other systems post to, each in its own protocol.",
    "alertmanager": "The API of Prometheus Alertmanager, for its own clients.",
    "system": "Probes, metrics and commissioning.",
}


def list_tags() -> list[dict[str, str]]:
    """Return the `tags` of an OpenAPI document, in the order of the table."""
    return [{"name": name, "description": text} for name, text in SUBJECTS.items()]
