"""What a site tells its operator's monitoring, besides requests: certificates, commits, announcements, the CA's end."""

from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from ownroot.registration import outbox
from ownroot.registration.counts import issued_counts
from ownroot.registration.journal import Journal
from ownroot.registration.registrar import Desk

_PREFIX = "ownroot_registration"


class SiteMetrics(Collector):
    """Reads the journal when somebody asks."""

    def __init__(self, desk: Desk, clock: Callable[[], datetime]) -> None:
        self._desk = desk
        self._clock = clock

    def collect(self) -> Iterator[CounterMetricFamily | GaugeMetricFamily]:
        """Yield every figure."""
        now, journal = self._clock(), self._desk.journal
        today, total = journal.read(lambda connection: issued_counts(connection, now))
        yield CounterMetricFamily(f"{_PREFIX}_certificates", "Certificates issued since the journal began.", total)
        yield GaugeMetricFamily(f"{_PREFIX}_certificates_today", "Certificates issued today (UTC).", today)
        yield CounterMetricFamily(
            f"{_PREFIX}_commits", "Commits since the start; each waits for the disk.", journal.commits
        )
        left = self._desk.site.issuer.certificate.not_valid_after_utc - now
        yield GaugeMetricFamily(f"{_PREFIX}_ca_seconds_left", "Until the local device CA ends.", left.total_seconds())
        yield from _announcements(journal, self._desk.couriers.names)


def _announcements(journal: Journal, names: tuple[str, ...]) -> Iterator[GaugeMetricFamily]:
    waiting = GaugeMetricFamily(f"{_PREFIX}_announcements_waiting", "Not delivered yet.", labels=("target",))
    dead = GaugeMetricFamily(f"{_PREFIX}_announcements_dead", "Given up; a person has to look.", labels=("target",))
    alarm = GaugeMetricFamily(f"{_PREFIX}_target_alarm", "1: token, address or trust is wrong.", labels=("target",))
    counts = journal.read(outbox.backlog)
    alarms = journal.read(outbox.alarms)
    for name in sorted({*names, *counts}):
        number_waiting, number_dead = counts.get(name, (0, 0))
        waiting.add_metric((name,), number_waiting)
        dead.add_metric((name,), number_dead)
        alarm.add_metric((name,), float(name in alarms))
    yield from (waiting, dead, alarm)
