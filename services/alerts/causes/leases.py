"""Leases: alerts that hold as long as their sender renews them.

The newest statement about their end stands, but a default patience never overrules a later end that
the sender named. A lapsed lease counts as the sender's report that the trouble is over. Rule D66,
leases.
"""

from schemas.alerts import ReportRow
from schemas.base import Instant, copy_with
from schemas.crisis.maintenance import LeaseChanged, LeaseRow, LeasesRenewed, Renewal
from schemas.reports import Lease, ReportReceived
from schemas.words import Certainty, EventType, MsgType, ReportState
from services.alerts.causes import cause_lifecycle
from services.alerts.decision import AlertsDecision, sort_by_id
from services.alerts.pipeline import judge_report
from services.alerts.reports.report_facts import LEASE_DIALECT


def apply_report_to_leases(draft: AlertsDecision, report: ReportReceived) -> None:
    """Open a lease for a new report, or end leases by it."""
    row = draft.state.reports[report.report_id]
    if report.lease is not None:
        _open_lease(draft, row, report.lease)
    elif row.type is EventType.REOPENING:
        _end_leases(draft, row)


def _open_lease(draft: AlertsDecision, row: ReportRow, lease: Lease) -> None:
    quiet = draft.state.hushed.get(row.id)
    draft.emit(
        LeaseChanged(
            row=LeaseRow(
                id=row.id,
                state="held",
                source_key=row.source_key,
                until=lease.until,
                explicit=lease.explicit,
                began_at=row.occurred_at,
                renewed_at=draft.now,
                claim=row.id,
                quiet=quiet,
            )
        )
    )


def renew_leases(draft: AlertsDecision, event: LeasesRenewed) -> None:
    """Renew leases. A lapsed one begins again now; an ended one stays ended."""
    for renewal in event.leases:
        lease = draft.state.leases.get(renewal.report)
        if lease is None or lease.source_key != event.source_key or lease.state == "ended":
            continue
        has_lapsed = lease.state == "lapsed"
        until, explicit = (
            (renewal.until, renewal.explicit) if has_lapsed else _choose_end(lease, renewal)
        )
        row = copy_with(
            lease, {"state": "held", "until": until, "explicit": explicit, "renewed_at": draft.now}
        )
        draft.emit(
            LeaseChanged(
                row=copy_with(row, {"claim": _repeat_report(draft, lease)}) if has_lapsed else row
            )
        )


def _choose_end(lease: LeaseRow, renewal: Renewal) -> tuple[Instant, bool]:
    """Return the newest end, and whether the sender named it.

    A default patience that ends before an end that the sender named does not replace it.
    """
    if lease.explicit and not renewal.explicit and lease.until > renewal.until:
        return lease.until, True
    return renewal.until, renewal.explicit


def _repeat_report(draft: AlertsDecision, lease: LeaseRow) -> str:
    """Repeat the report of a lapsed alert as of now, and return the id of the new report."""
    report = draft.state.reports[lease.claim]
    row = copy_with(
        report,
        {
            "id": draft.derive("report"),
            "occurred_at": draft.now,
            "recorded_at": draft.now,
            "references": (lease.id,),
            "state": ReportState.APPLIED,
            "reason": None,
            "of": None,
            "why": (),
            "flags": tuple(f for f in report.flags if f == "site_unknown"),
            "incident": None,
            "alias": None,
        },
    )
    judge_report(draft, row)
    return row.id


def on_lease_due(draft: AlertsDecision, id: str) -> None:
    """End an alert that its sender did not renew, as if the sender had reported its end."""
    lease = draft.state.leases[id]
    report = draft.state.reports[lease.claim]
    draft.emit(LeaseChanged(row=copy_with(lease, {"state": "lapsed"})))
    judge_report(
        draft,
        ReportRow(
            id=draft.derive("report"),
            state=ReportState.APPLIED,
            confirmation="confirmed",
            source=report.source,
            source_key=report.source_key,
            site=report.site,
            commune=report.commune,
            flags=tuple(f for f in report.flags if f == "site_unknown"),
            type=EventType.REOPENING,
            severity=1,
            certainty=Certainty.CONFIRMED,
            msg_type=MsgType.ALERT,
            references=(id, lease.claim),
            occurred_at=lease.until,
            recorded_at=draft.now,
            lifts=(report.type,),
            dialect=LEASE_DIALECT,
            text_id=report.text_id,
        ),
    )


def _end_leases(draft: AlertsDecision, row: ReportRow) -> None:
    """End leases at the time that the sender reports.

    An end later than a lapse replaces that time.
    """
    for lease in (draft.state.leases[r] for r in row.references if r in draft.state.leases):
        if lease.source_key != row.source_key or lease.state == "ended":
            continue
        if lease.claim != lease.id and _began_after(draft, lease, row):
            _end_at_beginning(draft, lease)
            continue
        if lease.state == "lapsed":
            for cause in sort_by_id(
                c
                for c in draft.state.causes.values()
                if lease.claim in c.reports and c.lifted_at == lease.until
            ):
                cause_lifecycle.record_with_deadline(
                    draft, copy_with(cause, {"lifted_at": max(row.occurred_at, lease.until)})
                )
        draft.emit(
            LeaseChanged(
                row=copy_with(
                    lease,
                    {
                        "state": "ended",
                        "until": row.occurred_at,
                        "explicit": True,
                        "renewed_at": draft.now,
                    },
                )
            )
        )


def _began_after(draft: AlertsDecision, lease: LeaseRow, row: ReportRow) -> bool:
    """Return whether an alert that holds began again after the end that its sender reports."""
    return lease.state == "held" and row.occurred_at < draft.state.reports[lease.claim].occurred_at


def _end_at_beginning(draft: AlertsDecision, lease: LeaseRow) -> None:
    """End an alert that began again at its beginning: its sender's clock may be behind."""
    began_at = draft.state.reports[lease.claim].occurred_at
    draft.emit(
        LeaseChanged(
            row=copy_with(lease, {"until": began_at, "explicit": True, "renewed_at": draft.now})
        )
    )
