"""What the speed suite measured: the record that is `speed.json`, and the ratios and shares that follow from it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gan.errors import InputError
from gan.replica import Mode
from reports.stats.intervals import Interval

LIMITED = 1 / 3
"""A step that reaches less than this share of the product peak is limited by overhead."""

AS_WRITTEN = "as written"


class Record(BaseModel):
    """A part of `speed.json`."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Seconds(Record):
    """How long something took."""

    wall: float = Field(gt=0)
    cpu: float = Field(gt=0)
    """Of the processor, over all processes that took part."""


class Row(Record):
    """Replicas as the plan trains them, measured in turn with the plain loops."""

    asked: list[int] = Field(min_length=1)
    """Numbers of replicas to train of which the plan makes such cohorts."""
    mode: Mode
    compiled: bool
    replicas: int = Field(gt=0)
    """That train at once."""
    first_seconds: float
    """On the clock, of the first step: compiling or tracing is most of it."""
    rounds: list[Seconds] = Field(min_length=1)
    """Of one step of all replicas at once, one entry a round."""
    loops: dict[str, list[Seconds]]
    """Of one step of the plain loop in the same rounds, by its style."""

    @property
    def how(self) -> str:
        """Such as ``32 side by side, compiled``."""
        beside = f"{self.replicas} side by side" if self.mode == "vmap" else "one after the other"
        return f"{beside}, {'compiled' if self.compiled else 'eager'}"


class System(Record):
    """One system at one batch size."""

    system: str
    title: str
    batch: int
    flops: float = Field(gt=0)
    """Floating-point operations of one step of one replica."""
    first_seconds: dict[str, float]
    """Of the first step of the plain loop, by its style."""
    rows: list[Row] = Field(min_length=1)


class Processes(Seconds):
    """Plain loops, each in a separate process, all at the same time."""

    runs: int = Field(gt=0)


class WholeStudy(Record):
    """`ganbench run` on system A, and some of as many plain processes."""

    batch: int
    runs: int
    steps: int
    cold: Seconds
    """Of the study, with an empty cache of compiled programs."""
    warm: Seconds
    plain: list[Processes] = Field(min_length=1)
    """Before, between and after."""

    def plain_seconds(self, clock: str) -> float:
        """Return the seconds on a clock that one plain process a run takes for all runs, scaled from those timed."""
        return self.runs * statistics.median(getattr(each, clock) / each.runs for each in self.plain)


class Hardware(Record):
    """The machine, as `benchmarks.machine.system.hardware` describes it."""

    processor: str
    vectors: str = "unknown"
    cores: int
    memory_gib: float | None
    system: str
    gpu: str | None = None


class Measured(Record):
    """The content of `speed.json`."""

    format: Literal[2] = 2
    command: str
    date: str
    minutes: float
    commit: str
    device: Literal["cpu", "cuda"]
    hardware: Hardware
    versions: dict[str, str]
    quick: bool
    images: str
    """What systems C and D were trained on."""
    peaks: list[float] = Field(min_length=1)
    """Floating-point operations a second of the fastest matrix product: at the start, and at the end."""
    systems: list[System]
    studies: list[WholeStudy]

    @property
    def clock(self) -> Literal["cpu", "wall"]:
        """The clock that times are taken from: the processor's, but for a GPU, which it does not see."""
        return "cpu" if self.device == "cpu" else "wall"

    def seconds(self, rounds: Sequence[Seconds]) -> list[float]:
        """Return rounds on that clock."""
        return [getattr(each, self.clock) for each in rounds]

    def replica_seconds(self, row: Row) -> float:
        """Return the median seconds of a replica-step."""
        return statistics.median(self.seconds(row.rounds)) / row.replicas

    def ratio(self, row: Row, style: str = AS_WRITTEN) -> Interval:
        """Return how many times as fast as the plain loop a row is: the rounds' median, least and most."""
        pairs = zip(self.seconds(row.loops[style]), self.seconds(row.rounds), strict=True)
        ratios = [row.replicas * loop / engine for loop, engine in pairs]
        return Interval(statistics.median(ratios), min(ratios), max(ratios), "none")

    def fairest(self, row: Row) -> Interval:
        """Return the ratio to the plain loop in the style that was fastest in the same rounds."""
        fastest = min(row.loops, key=lambda style: statistics.median(self.seconds(row.loops[style])))
        return self.ratio(row, fastest)

    def loop_seconds(self, system: System, style: str) -> list[float]:
        """Return the seconds of each round's step of the plain loop, over all rows."""
        return [seconds for row in system.rows for seconds in self.seconds(row.loops[style])]

    def least_seconds(self, system: System) -> float:
        """Return the seconds that a replica-step takes at the product peak."""
        return system.flops / max(self.peaks)

    def peak_share(self, system: System, row: Row) -> float:
        """Return the share of the product peak that a row reaches."""
        return self.least_seconds(system) / self.replica_seconds(row)

    def limit(self, system: System, row: Row) -> str:
        """Say what limits a row: arithmetic, or the overhead of each step."""
        return "arithmetic" if self.peak_share(system, row) >= LIMITED else "overhead"


def read(file: Path) -> Measured:
    """Read a `speed.json`.

    Raises:
        InputError: There is no such file, or it is something else.
    """
    expected = "expected a speed.json that `ganbench speed` wrote"
    try:
        return Measured.model_validate_json(file.read_bytes())
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); {expected}") from None
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        problem = f"{key}: {first['msg']}" if key else first["msg"]
        raise InputError(f"{file}: {problem}; {expected}") from None
