"""How things are measured here, and how a measurement is told."""

from __future__ import annotations

import gc
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """One measurement. `ratio` is ours to the reference's, and `target` the most that it may be; None: not compared."""

    name: str
    value: float
    unit: str
    ratio: float | None = None
    target: float | None = None

    @property
    def ok(self) -> bool | None:
        """Whether the target is met; None without one."""
        return None if self.ratio is None or self.target is None else self.ratio <= self.target

    def line(self) -> str:
        """The figure as one line of JSON."""
        content = {**asdict(self), "ok": self.ok}
        return json.dumps({key: round(item, 4) if isinstance(item, float) else item for key, item in content.items()})


@dataclass(frozen=True, slots=True)
class Pass:
    """Something to measure: `prepare` is not counted, `run` does it `calls` times."""

    run: Callable[[], object]
    calls: int
    prepare: Callable[[], object] = lambda: None

    def us_a_call(self) -> float:
        """Microseconds a call, in one go."""
        self.prepare()
        began_ns = time.perf_counter_ns()
        self.run()
        return (time.perf_counter_ns() - began_ns) / 1000 / self.calls


def side_by_side(name: str, ours: Pass, reference: Pass, *, rounds: int, target: float) -> tuple[Figure, Figure]:
    """Measure both in turn, so that what else the machine does strikes both: ours, and the reference's.

    Values are medians over the rounds; so is the ratio, of what each round saw.
    """
    ours.us_a_call(), reference.us_a_call()  # warm
    pairs = []
    gc.collect()
    gc.disable()
    try:
        for number in range(rounds):
            order = (ours, reference) if number % 2 else (reference, ours)
            seen = {id(one): one.us_a_call() for one in order}
            pairs.append((seen[id(ours)], seen[id(reference)]))
    finally:
        gc.enable()
    ratio = statistics.median(mine / theirs for mine, theirs in pairs)
    return (
        Figure(name, statistics.median(mine for mine, _ in pairs), "us", ratio, target),
        Figure(f"{name}.reference", statistics.median(theirs for _, theirs in pairs), "us"),
    )
