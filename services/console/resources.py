"""Resources that HTTP clients read: rows of the read model joined with the reference data.

Times are aware UTC datetimes here and ISO 8601 on the wire. `title`, `text` and `name` are in the
reader's language. A resource never carries a person's name, address or free text, with two
exceptions for roles that may read them: `Line.text` and `Report.headline`, which come from the
encrypted `texts`.

Each folder keeps its own resources; this module offers them all under one name.
"""

from services.console.actions.resources import Action
from services.console.attention.resources import AttentionState, DemandLine
from services.console.continuity.foresight_resources import Contingency, Crisis, Gain, Gap, Loss
from services.console.continuity.resources import (
    Activation,
    Activity,
    Alarm,
    BoxState,
    Card,
    CardProgress,
    Clock,
    Improvement,
    LocalClock,
    PathStep,
    Plan,
    PlanConflict,
    PlanDetail,
    SiteCard,
    Sitrep,
    Strategy,
)
from services.console.incidents.resources import (
    Escalation,
    Explanation,
    Flag,
    Incident,
    IncidentCause,
    Instruction,
    Ladder,
    LevelState,
    Report,
    Task,
    Trigger,
    Wave,
)
from services.console.live.presence import Presence, PresenceChanged, PresentPerson
from services.console.logbook.erasures import Erasure
from services.console.logistics.resources import (
    ResourceOffer,
    ResourceRequest,
    ResourceSuggestion,
    StockLevel,
)
from services.console.maintenance.resources import LabelMatch, Lease, Maintenance, WindowCoverage
from services.console.messages.resources import (
    Attempt,
    CallOut,
    Estimate,
    Hold,
    Notification,
    SafetyAnswer,
    Texts,
)
from services.console.reassignment.resources import (
    Flow,
    MissingAgents,
    Proposal,
    ProposalDecision,
    ReassignmentEnd,
    ReassignmentLine,
    ReassignmentReason,
)
from services.console.reference.resources import (
    ChangeDecision,
    Coverage,
    CoverageGap,
    DutySpan,
    PlaceCoverage,
    RecordChoice,
    RecordEntry,
    RecordFieldState,
    RecordForm,
    RecordPreview,
    RecordReview,
    RecordReviews,
    RecordState,
    ReferenceChange,
)
from services.console.resource_base import (
    Interval,
    Page,
    Reason,
    Resource,
    Scalar,
    Time,
    format_iso,
    to_datetime,
    to_instant,
)
from services.console.sites.resources import (
    AlarmRate,
    Audit,
    AuditBreach,
    Cause,
    Change,
    Changes,
    CommandResult,
    Commune,
    Feed,
    KindOfLine,
    Line,
    LogPosition,
    Map,
    Overview,
    Pole,
    Realm,
    Site,
    SiteHeadcount,
)
