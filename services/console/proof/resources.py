"""Resources of the proof of plans. Rule D85."""

from pydantic import Field

from services.console.proof.judgement import ProofKind
from services.console.resource_base import Resource, Time


class ProofPart(Resource):
    """One thing that a plan counts on."""

    kind: ProofKind
    id: str = Field(description="role, `contact:<id>`, card, kind of site, métier, document")
    name: str = Field(description="in the reader's language")
    proven: int
    total: int
    at: Time | None = Field(description="newest proof, if it is dated")


class ProofShare(Resource):
    """Share of one kind; every kind weighs the same."""

    kind: ProofKind
    name: str
    pct: float
    proven: int = Field(description="number of things of this kind that are proven in full")
    total: int


class ProofDeed(Resource):
    """One change that would raise the proof of a plan."""

    kind: ProofKind
    ids: list[str] = Field(description="things that it would prove")
    text: str
    gain: float = Field(description="points that the plan would gain")
    path: str = Field(description="page on which it is done")


class PlanProofSummary(Resource):
    """Proof of one plan, and the change that would raise it most."""

    id: str
    title: str
    pole: str | None
    pct: float = Field(description="share of the plan that is proven")
    shares: list[ProofShare]
    best: ProofDeed | None = Field(description="null: everything is proven")


class PlanProofDetail(PlanProofSummary):
    """Proof of one plan, with everything that it counts on."""

    realm: str
    at: Time = Field(description="time at which it is judged")
    items: list[ProofPart]
    changes: list[ProofDeed] = Field(description="the one that helps most comes first")


class PoleProof(Resource):
    """Mean of the plans of one pôle."""

    pole: str
    name: str
    pct: float
    plans: list[str]


class PlanProofs(Resource):
    """Proof of all valid plans (`items`), of each pôle and of the territory."""

    realm: str
    at: Time
    pct: float | None = Field(description="mean of all plans; null without a plan")
    poles: list[PoleProof]
    items: list[PlanProofSummary]
    next: None = None
