"""The queue of announcements: order, patience, dead letters, and what an operator does to them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ownroot.client.transport import Answer
from ownroot.errors import NotFoundError
from ownroot.registration import outbox
from ownroot.registration.delivery import Courier, Effect, Outcome, Patience
from ownroot.registration.http_targets import outcome_of
from ownroot.registration.outbox import Due, State
from tests.support.certificates import NOW
from tests.support.registration_desk import SiteDesk, site_desk

NOW_SECONDS = int(NOW.timestamp())


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[SiteDesk]:
    with site_desk(tmp_path) as made:
        yield made


class Scripted:
    """A target that answers as told and notes whom it was told of."""

    name = "webhook"

    def __init__(self, *effects: Effect) -> None:
        self.effects = list(effects)
        self.told: list[str] = []

    def deliver(self, due: Due) -> Outcome:
        self.told.append(due.uuid)
        return Outcome(self.effects.pop(0) if self.effects else Effect.TAKEN, "said so")


class Clock:
    """Seconds that a test moves."""

    def __init__(self) -> None:
        self.now = float(NOW_SECONDS)

    def __call__(self) -> float:
        return self.now


def queued(desk: SiteDesk, *uuids: str) -> None:
    for uuid in uuids:
        desk.register(uuid, targets=("webhook",))


def send_all(desk: SiteDesk, target: Scripted, clock: Clock, *, patience: Patience | None = None) -> None:
    courier = Courier(desk.journal, target, patience=patience or Patience(), now=clock)
    while courier._send_next():
        pass


def states(desk: SiteDesk) -> list[tuple[str, str]]:
    found = desk.journal.read(partial(outbox.entries, states=tuple(State), limit=100))
    return [(entry.uuid, entry.state) for entry in found]


def test_announcements_go_out_in_the_order_of_registration(desk: SiteDesk) -> None:
    queued(desk, "dev-1", "dev-2", "dev-3")
    target = Scripted()
    send_all(desk, target, Clock())
    assert target.told == ["dev-1", "dev-2", "dev-3"]
    assert {state for _, state in states(desk)} == {"done"}


def test_outage_makes_all_wait_behind_the_first(desk: SiteDesk) -> None:
    queued(desk, "dev-1", "dev-2")
    target, clock = Scripted(Effect.NOT_NOW), Clock()
    send_all(desk, target, clock)
    assert target.told == ["dev-1"]
    clock.now += 3600
    send_all(desk, target, clock)
    assert target.told == ["dev-1", "dev-1", "dev-2"]
    assert desk.journal.read(outbox.alarms) == frozenset()


def test_outages_in_a_row_make_it_wait_longer_up_to_an_hour(desk: SiteDesk) -> None:
    queued(desk, "dev-1")
    target, clock = Scripted(*[Effect.NOT_NOW] * 20), Clock()
    waits = []
    for _ in range(20):
        send_all(desk, target, clock)
        (view,) = desk.journal.read(outbox.targets)
        waits.append(view.resumes_at - clock.now)
        clock.now = view.resumes_at
    assert waits[0] <= 2
    assert all(1800 <= wait <= 3600 for wait in waits[12:])


def test_one_that_the_target_does_not_like_steps_aside(desk: SiteDesk) -> None:
    queued(desk, "dev-1", "dev-2")
    target, clock = Scripted(Effect.NOT_THIS), Clock()
    send_all(desk, target, clock)
    assert states(desk) == [("dev-1", "waiting"), ("dev-2", "done")]
    clock.now += 60
    send_all(desk, target, clock)
    assert states(desk)[0] == ("dev-1", "done")


def test_target_that_stumbles_over_one_gets_the_others_after_a_while(desk: SiteDesk) -> None:
    queued(desk, "dev-1", "dev-2")
    target, clock = Scripted(*[Effect.PERHAPS_THIS] * 9), Clock()
    for _ in range(9):
        assert "dev-2" not in target.told
        send_all(desk, target, clock)
        clock.now += 3600
    assert target.told[-1] == "dev-2"


def test_conflict_is_dead_at_once_and_alarm_is_raised_until_it_works(desk: SiteDesk) -> None:
    queued(desk, "dev-1", "dev-2")
    target, clock = Scripted(Effect.NEVER, Effect.ALARM), Clock()
    send_all(desk, target, clock)
    assert states(desk) == [("dev-1", "dead"), ("dev-2", "waiting")]
    assert desk.journal.read(outbox.alarms) == {"webhook"}
    clock.now += 3600
    send_all(desk, target, clock)
    assert states(desk)[1] == ("dev-2", "done")
    assert desk.journal.read(outbox.alarms) == frozenset()


def test_announcement_is_given_up_after_days_and_not_before(desk: SiteDesk) -> None:
    queued(desk, "dev-1")
    target, clock = Scripted(*[Effect.NOT_NOW] * 2), Clock()
    patience = Patience(give_up_seconds=86_400)
    clock.now += 86_400
    send_all(desk, target, clock, patience=patience)
    assert states(desk) == [("dev-1", "waiting")]
    clock.now += 3600
    send_all(desk, target, clock, patience=patience)
    assert states(desk) == [("dev-1", "dead")]


def test_dead_announcement_can_be_sent_again_and_a_done_one_cannot(desk: SiteDesk) -> None:
    queued(desk, "dev-1", "dev-2")
    send_all(desk, Scripted(Effect.NEVER), Clock())
    (dead,) = desk.journal.read(partial(outbox.entries, states=(State.DEAD,), limit=10))
    assert desk.journal.write(partial(outbox.retry, ids=(dead.id,), now=NOW_SECONDS)) == 1
    send_all(desk, Scripted(), Clock())
    assert {state for _, state in states(desk)} == {"done"}
    with pytest.raises(NotFoundError, match="no-such-announcement"):
        desk.journal.write(partial(outbox.retry, ids=(dead.id,), now=NOW_SECONDS))
    with pytest.raises(NotFoundError, match="no-such-announcement"):
        desk.journal.write(partial(outbox.drop, ids=(dead.id,), at=NOW))


def test_one_unknown_number_keeps_a_drop_from_happening_at_all(desk: SiteDesk) -> None:
    queued(desk, "dev-1")
    (waiting,) = desk.journal.read(partial(outbox.entries, states=(State.WAITING,), limit=10))
    with pytest.raises(NotFoundError):
        desk.journal.write(partial(outbox.drop, ids=(waiting.id, 99), at=NOW))
    assert states(desk) == [("dev-1", "waiting")]


@pytest.mark.parametrize(
    ("status", "effect"),
    [
        (200, Effect.TAKEN),
        (204, Effect.TAKEN),
        (301, Effect.ALARM),
        (400, Effect.NOT_THIS),
        (401, Effect.ALARM),
        (403, Effect.ALARM),
        (404, Effect.ALARM),
        (409, Effect.NEVER),
        (429, Effect.NOT_NOW),
        (500, Effect.PERHAPS_THIS),
        (503, Effect.NOT_NOW),
    ],
)
def test_every_answer_has_a_meaning(status: int, effect: Effect) -> None:
    answer = Answer("PUT", "http://backend", status, {}, b'{"message":"M"}')
    assert outcome_of(answer).effect is effect
