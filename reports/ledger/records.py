"""The JSON files of a run directory as records: what is written is one of these, and what is read is the same again.

A file that a person or a disk spoiled is refused in one line: the place in it, what was expected, what was found.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from gan.replica import Mode, digest_of
from studies.published import PublishedFigure
from studies.sections import expectation

Direction = Literal["lower", "higher"]


class Record(BaseModel):
    """What the records share: exact types, no change after reading, and keys of later versions kept as they are."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values: of a record that was read, those of its file."""
        return self.model_dump(exclude_unset=True)


# plan.json.


@dataclass(frozen=True, slots=True)
class PlannedReplica:
    """A replica that the plan asks for; a study may have a million, hence a plain class."""

    id: str
    variant: str
    seed: int


class PlannedCohort(Record):
    """Replicas that are trained together, and how: see `gan.replica.Cohort`."""

    id: str
    """A digest of the replicas' ids."""
    mode: Mode
    compiled: bool
    width: int
    replicas: list[str]
    losses: list[str] = []
    """Names of the losses that its step chooses between; one is not written."""

    def problem(self) -> str:
        """Say what contradicts itself; empty where nothing does."""
        if self.id != digest_of(self.replicas):
            return f"id: {self.id!r} is not the name of its replicas"
        if self.mode == "vmap" and self.width < len(self.replicas):
            return f"width: {self.width} is less than its {len(self.replicas)} replicas"
        return ""


class PlannedOutcome(Record):
    """What the question asks: see `studies.sections.OutcomeSection`."""

    kind: Literal["rate", "score"]
    event: str | None = None
    margin: float | None = None
    hypotheses: list[tuple[str, str]]
    """Labels of two levels: more with the first than with the second."""


class PlannedReport(Record):
    """What the report is about: see `studies.sections.ReportSection`."""

    score: str | None = None
    """The primary score; without one the first that was taken."""
    factor: str | None = None
    reached: dict[str, float] = {}
    outcome: PlannedOutcome | None = None
    notes: str = ""


class PlannedStudy(Record):
    """A study at one scale: see `studies.resolve.Resolved`."""

    name: str
    title: str = ""
    question: str = ""
    scale: str
    stage: str = ""
    target: dict[str, Any] = {}
    """Its name and parameters."""
    target_label: str = ""
    steps: int
    first_seed: int = 0
    scoring: dict[str, Any] = {}
    """The settings of a `gan.replica.Scoring`."""
    factors: dict[str, list[Any]]
    reference: dict[str, Any] = {}
    overrides: dict[str, Any] = {}
    report: PlannedReport
    claims: list[int] = []
    claim_texts: dict[str, str] = {}
    checks: list[str] = []
    published: list[PublishedFigure] = []


class PlanRecord(Record):
    """`plan.json`: what is to be trained, decided once. Keys with a default are missing in plans of before them."""

    study: PlannedStudy
    device: str = ""
    command: str = ""
    """What a person types to run this again."""
    plugins: dict[str, str] = {}
    """The sha256 of each plugin's source, by module."""
    variants: dict[str, dict[str, Any]]
    """Settings by name."""
    levels: dict[str, dict[str, Any]] = {}
    """Of each variant its level of each of the study's factors."""
    replicas: list[PlannedReplica]
    cohorts: list[PlannedCohort]
    retired: list[PlannedCohort] = []
    """Cohorts of earlier plans with replicas that are not asked for now."""
    decided: str | None = None
    """A digest of which replicas are trained together, and how."""

    @model_validator(mode="after")
    def _fits_together(self) -> PlanRecord:
        for i, replica in enumerate(self.replicas):
            if replica.variant not in self.variants:
                raise ValueError(f"replicas.{i}.variant: {replica.variant!r} is not among its variants")
        for variant, factor in product(self.variants, self.study.factors):
            if factor not in self.levels.get(variant, {}):
                raise ValueError(f"levels.{variant}.{factor}: missing; expected a level of each factor")
        return self

    def every_cohort(self) -> Iterator[tuple[str, PlannedCohort]]:
        """Yield all cohorts, the retired ones too, each after its place in the file."""
        for key, cohorts in (("cohorts", self.cohorts), ("retired", self.retired)):
            yield from ((f"{key}.{i}", cohort) for i, cohort in enumerate(cohorts))

    def problem_with_cohorts(self) -> str:
        """Say what contradicts itself in how cohorts are trained, which decides bits; empty where nothing does."""
        for place, cohort in self.every_cohort():
            if problem := cohort.problem():
                return f"{place}.{problem}"
        decided = decided_by(self.cohorts, self.retired)
        return "decided: not the digest of its cohorts" if self.decided not in (None, decided) else ""


def decided_by(cohorts: list[PlannedCohort], retired: list[PlannedCohort]) -> str:
    """Return a digest of which replicas a plan trains together, and how."""
    return digest_of([[cohort.to_json() for cohort in part] for part in (cohorts, retired)])


# references.json.


class ScoreReference(Record):
    """What stands beside a score: see `gan.scores.scorer.Scorer.references`."""

    label: str = ""
    direction: Direction | None
    """Which end is good; None: it describes samples, and ranks nothing."""
    n: int | None = None
    """Samples it is taken of."""
    floor: float | None = None
    """What real data score at that size; None where that says nothing."""
    floor_std: float | None = None
    """Standard deviation of the floor from one set of real data to another; None where theory gives the floor."""
    draws: int | None = None
    """Sets of real data that the floor is the mean of."""
    noise: float | None = None
    """What uniform noise scores."""
    log: bool = False
    """Its values span decades; written of a plugin's score alone, for of a built-in one it is known."""
    covers: bool = False
    """It counts how much of the target is covered, and its floor is the full count."""


References = dict[str, ScoreReference]
"""By score."""


# provenance.json.


class SessionRecord(Record):
    """A session that trained something; times are seconds."""

    started: str = ""
    command: str = ""
    engine: str = ""
    workers: int = 0
    device: str = ""
    commit: str = ""
    hardware: dict[str, Any] = {}
    versions: dict[str, str] = {}
    estimated_core_seconds: int = 0
    finished: str = ""
    trained: int = 0
    """Replicas."""
    wall_seconds: float = 0.0
    tracking_seconds: float = 0.0
    """In MLflow, in the background."""
    cohort_seconds: dict[str, float] = {}
    machines: list[dict[str, Any]] = []
    """Of a cluster: what each is, and how many cohorts it trained."""
    halved: dict[str, list[str]] = {}
    """Of each cohort that was halved, so that last bits may differ: its replicas."""
    checkpoint_seconds: float = 0.0
    recording_seconds: float = 0.0
    report_seconds: float = 0.0


class MirrorRecord(Record):
    """What the mirror holds, and what a session did there."""

    experiment: str = ""
    parents: dict[str, str] = {}
    """Run id of each variant; of a search, of each trial."""
    replicas: dict[str, str] = {}
    """Run id of each replica that is mirrored, now or in an earlier session; of a search, its trial's."""
    runs_created: int = 0
    removed: int = 0
    """Runs that were there twice."""
    start_seconds: float = 0.0
    """Importing MLflow, opening the database and reading what is there: once a session, and after a failure."""
    write_seconds: float = 0.0
    """Everything else, in the background."""
    missing: int = 0
    """Replicas that could not be mirrored; pushing their cohort again, in any session, mirrors them."""
    error: str = ""
    catch_up: str = ""
    """What a person types to mirror what is missing."""

    @property
    def warning(self) -> str:
        """Return one line for a person, empty when all is well."""
        if not self.missing and not self.error:
            return ""
        reason = " ".join(self.error.split())[:300] or "the tracking store did not answer in time"
        what = f"MLflow: {self.missing} finished replicas are not mirrored yet (the ledger has them): {reason}"
        return f"{what}; {self.catch_up} mirrors them"


class Provenance(Record):
    """`provenance.json`: what two runs of the same results would not share."""

    sessions: list[SessionRecord]
    mlflow: MirrorRecord = MirrorRecord()

    @property
    def trained(self) -> list[SessionRecord]:
        """The sessions that trained something."""
        return [session for session in self.sessions if session.trained]


# digests/<cohort>.json.

_DIGESTED = (
    ({"cohorts", "history", "samples"}, {"cohorts", "history", "samples", "weights"}),
    ({"references.json"}, {"references.json", "real.safetensors"}),
)
"""Names that a file of digests has, and those that it may have."""


def _complete(digests: dict[str, str]) -> dict[str, str]:
    if not any(must <= digests.keys() <= may for must, may in _DIGESTED):
        raise ValueError("expected the digests of a cohort's files, or of the shared ones")
    return digests


Sha256 = Annotated[str, StringConstraints(pattern="^[0-9a-f]{64}$")]
Digests = Annotated[dict[str, Sha256], AfterValidator(_complete)]

REFERENCES = TypeAdapter(References)
DIGESTS: TypeAdapter[dict[str, str]] = TypeAdapter(Digests)


def problem_in(error: ValidationError) -> str:
    """Return the first thing that is wrong with a file, in one line: the place, what was expected, what was found."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"]))
    if first["type"] in ("json_invalid", "value_error"):
        return ": ".join(filter(None, [place, first["msg"].removeprefix("Value error, ")]))
    return f"{place or 'the file'}: {expectation(first)}"
