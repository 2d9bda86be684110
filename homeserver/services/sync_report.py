"""How the sync is doing: rows for the operators' view, and figures for machines, of all processes together."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from homeserver.model import NowMs, StorageLeg
from homeserver.services.meter import Meter
from homeserver.storage import appdata_writes, containers, freshness, leases, step_one, sync_tasks, uploads_kept
from homeserver.storage.containers import State
from homeserver.storage.database import Database, Reader
from homeserver.storage.freshness import Overview
from homeserver.storage.step_one import Refusals
from homeserver.storage.sync_tasks import Kind, Queue
from homeserver.storage.uploads import REPEATABLE, UNDER_WAY

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

MAX_LEASES: Final = 50
"""So many are shown."""
KEPT_TIMES: Final = 20

_COUNTED: Final = {
    "container_requests": ("Requests to the container, by what came of them.", "outcome"),
    "container_request_seconds": ("How long they took, all together.", ""),
    "sync_done": ("Questions answered and kept, by kind.", "kind"),
    "sync_failed": ("Attempts that failed, by reason.", "reason"),
    "sync_changed": ("Values that changed.", ""),
}
_KINDS: Final = {
    Kind.WHOLE: "players who asked for it",
    Kind.FRIENDS: "lists of friends",
    Kind.AROUND: "circles of friends",
    Kind.ALONE: "players by themselves",
}


@dataclass(frozen=True, slots=True)
class SyncRow:
    """What waits of one kind. `oldest_ms` is since when the longest does."""

    what: str
    waiting: int
    running: int
    oldest_ms: int | None


@dataclass(frozen=True, slots=True)
class SyncTable:
    """How the sync is doing, for people. Times are None where there is nothing to tell.

    `refused_ms`: since when the container refuses everybody. `closed_ms`: until when it is left alone.
    """

    rows: tuple[SyncRow, ...]
    refused_ms: int | None
    closed_ms: int | None
    failures: int
    overview: Overview
    requests: int
    failed: tuple[tuple[str, int], ...]
    """Attempts that failed since the database was made, by reason, the most frequent first."""
    skew_s: float
    timed_writes: dict[str, int]
    leases: tuple[tuple[str, int], ...]
    """What processes hold for themselves at the moment, with when each ends unless it is prolonged."""
    now_ms: int
    """As of when all of it but `overview` is, which may be older: see `SyncReport.table`."""


class SyncReport:
    """Reads how the sync of one container is doing."""

    def __init__(
        self,
        database: Database,
        container: str,
        now_ms: NowMs,
        meter: Meter,
        skew_s: Callable[[], float],
        *,
        clock_s: Callable[[], float] = time.perf_counter,
    ) -> None:
        """
        Args:
            skew_s: How far the container's clock is ahead of ours, as this process saw it.
            clock_s: What takes the time of looking at everybody.
        """
        self._database = database
        self._container = container
        self._now_ms = now_ms
        self._meter = meter
        self._skew_s = skew_s
        self._clock_s = clock_s
        self._kept: tuple[float, Overview] | None = None
        """The last look at everybody, and until when it is good."""

    async def table(self) -> SyncTable:
        """For the operators' view.

        Its overview looks at everybody, which takes the longer the more there are. So it is kept for `KEPT_TIMES` as
        long as it took: whoever asks again and again costs a small share of the time.
        """
        found = await self._look(self._kept[1] if self._kept and self._clock_s() < self._kept[0] else None)
        by_kind = {queue.kind: queue for queue in found.queues}
        rows = tuple(
            SyncRow(words, queue.waiting, queue.running, queue.oldest_ms)
            if (queue := by_kind.get(kind))
            else SyncRow(words, 0, 0, None)
            for kind, words in _KINDS.items()
        )
        failed = [(label, round(value)) for (name, label), value in found.sums.items() if name == "sync_failed"]
        requests = sum(value for (name, _), value in found.sums.items() if name == "container_requests")
        return SyncTable(
            rows,
            found.state.halted_ms,
            found.state.closed_until_ms if found.state.closed_until_ms > self._now_ms() else None,
            found.state.failures,
            found.overview,
            round(requests),
            tuple(sorted(failed, key=lambda one: -one[1])),
            self._skew_s(),
            found.writes,
            tuple(found.leases),
            self._now_ms(),
        )

    async def metrics(self) -> bytes:
        """For Prometheus, as text (`CONTENT_TYPE`)."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Figures(list(self._families(await self._look()))))
        return generate_latest(registry)

    async def _look(self, known: Overview | None = None) -> _Found:
        sums = await self._meter.sums()
        now_ms = self._now_ms()

        async def overview(reader: Reader) -> Overview:
            if known is not None:
                return known
            began_s = self._clock_s()
            found = await freshness.overview(reader, self._container)
            self._kept = (self._clock_s() + KEPT_TIMES * (self._clock_s() - began_s), found)
            return found

        async def work(reader: Reader) -> _Found:
            writes = await appdata_writes.counts(reader)
            return _Found(
                sums,
                await sync_tasks.queues(reader, self._container, now_ms),
                await containers.state(reader, self._container),
                await overview(reader),
                {state.value: count for state, count in writes.items()},
                await uploads_kept.open_by_leg(reader),
                await step_one.find(reader),
                await leases.held(reader, now_ms, MAX_LEASES),
            )

        return await self._database.read(work)

    def _families(self, found: _Found) -> Iterator[Metric]:
        now_ms = self._now_ms()
        for name, (words, label) in _COUNTED.items():
            counter = CounterMetricFamily(f"homeserver_{name}", words, labels=[label] if label else [])
            for (counted, value), total in sorted(found.sums.items()):
                if counted == name:
                    counter.add_metric([value] if label else [], total)
            yield counter
        queue = GaugeMetricFamily("homeserver_sync_queue", "Questions that wait or run.", labels=["kind", "state"])
        for one in found.queues:
            queue.add_metric([one.kind.value, "waiting"], one.waiting)
            queue.add_metric([one.kind.value, "running"], one.running)
        yield queue
        overview = found.overview
        players = GaugeMetricFamily("homeserver_players", "Players known, by how they stand.", labels=["state"])
        players.add_metric(["all"], overview.players)
        players.add_metric(["refused"], overview.refused)
        players.add_metric(["without_app"], overview.without_app)
        players.add_metric(["never_read"], overview.never)
        yield players
        age = GaugeMetricFamily("homeserver_data_age_seconds", "Age of the oldest data of a player.", labels=["what"])
        for what, ms in (("appdata", overview.oldest_appdata_ms), ("friends", overview.oldest_list_ms)):
            if ms is not None:
                age.add_metric([what], (now_ms - ms) / 1000)
        yield age
        writes = GaugeMetricFamily("homeserver_timed_writes", "AppData to be written at a time.", labels=["state"])
        for state, count in found.writes.items():
            writes.add_metric([state], count)
        yield writes
        files = GaugeMetricFamily(
            "homeserver_uploads", "Files that are not stored, by what comes next.", labels=["state"]
        )
        for leg in sorted(REPEATABLE | UNDER_WAY):
            files.add_metric([leg.value], found.files.get(leg, 0))
        yield files
        yield GaugeMetricFamily(
            "homeserver_storage_paused",
            "1 while the storage refuses everybody.",
            value=found.refusals is not None and found.refusals.paused,
        )
        yield GaugeMetricFamily(
            "homeserver_container_refuses_everybody", "1 while it does.", value=found.state.halted_ms is not None
        )
        closed_s = max(0, found.state.closed_until_ms - now_ms) / 1000
        yield GaugeMetricFamily("homeserver_container_closed_seconds", "How long it is left alone.", value=closed_s)
        yield GaugeMetricFamily(
            "homeserver_container_clock_skew_seconds", "Its clock ahead of ours.", value=self._skew_s()
        )


@dataclass(frozen=True, slots=True)
class _Found:
    sums: dict[tuple[str, str], float]
    queues: list[Queue]
    state: State
    overview: Overview
    writes: dict[str, int]
    files: dict[StorageLeg, int]
    refusals: Refusals | None
    leases: list[tuple[str, int]]


class _Figures(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


class MetricsGate:
    """Says who may read the figures by their token."""

    def __init__(self, token: str | None) -> None:
        self._token = None if token is None else token.encode()

    def admits(self, token: str) -> bool:
        """Whether this is the token; never without one in the settings."""
        return self._token is not None and hmac.compare_digest(self._token, token.encode())
