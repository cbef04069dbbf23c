"""Devices that ask to be registered, in time and in number: when codes end, who may decide, how many may wait."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest

from ownroot.audit.events import EventKind
from ownroot.errors import NotFoundError, OwnrootError, RefusedError, UnauthenticatedError, UnavailableError
from ownroot.services import manage_users
from ownroot.services.authenticate import authenticate
from ownroot.services.authorize_registration import (
    CODE_LIFETIME,
    ENDED_KEPT,
    TOKEN_LIFETIME,
    PendingLimits,
    ask_to_register,
    decide,
    find_waiting,
    redeem_code,
    require_allowed,
)
from ownroot.services.login_ports import AuthorizationState, DeviceAuthorization, DeviceAuthorizations
from ownroot.services.ports import UnitOfWork
from ownroot.services.scopes import Role
from ownroot.services.steps import run_blocking
from ownroot.services.sweep_logins import sweep_logins
from ownroot.services.tokens import token_sha256
from tests.support.registering import NOW, RegistrationWorld, registration_world

SECOND = timedelta(seconds=1)
PEER = "192.0.2.1"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[RegistrationWorld]:
    with registration_world(tmp_path) as made:
        yield made


def ask(world, uuid="dev-1", *, peer=PEER, now=NOW, **limits):
    steps = ask_to_register(uuid, "acme:devices:create", peer=peer, now=now, limits=PendingLimits(**limits))
    return run_blocking(steps, world.database)


def settle(world, asked, *, by=None, allow=True, now=NOW):
    user = by or world.owner.user
    return run_blocking(decide(user, asked.user_code, allow=allow, peer=PEER, now=now), world.database)


def state(world, asked, uuid="dev-1", now=NOW) -> str:
    """The code of the refusal, or `allowed`."""
    try:
        world.read(lambda uow: require_allowed(uow, asked.device_code, uuid, now=now))
    except RefusedError as error:
        return error.code
    return "allowed"


def redeem(world, asked, now=NOW):
    return run_blocking(redeem_code(asked.device_code, "dev-1", now=now), world.database).token


def refusal(error: type[OwnrootError], act, *arguments, **options) -> str:
    with pytest.raises(error) as refused:
        act(*arguments, **options)
    return refused.value.code


def member(world, name: str, role: Role):
    run_blocking(manage_users.create_user(name, None, now=NOW), world.database)
    return run_blocking(manage_users.add_member("acme", name, role, now=NOW), world.database).user


def test_codes_end_with_their_last_second(world):
    asked = ask(world)
    ends = NOW + CODE_LIFETIME
    assert state(world, asked, now=ends - SECOND) == "authorization-pending"
    assert state(world, asked, now=ends) == "authorization-expired"
    assert refusal(NotFoundError, settle, world, asked, now=ends) == "user-code-unknown"
    settle(world, asked, now=ends - SECOND)
    assert state(world, asked, now=ends - SECOND) == "allowed"
    assert state(world, asked, now=ends) == "authorization-expired"


def test_token_ends_with_its_last_second_and_counts_for_its_device_alone(world):
    asked = ask(world)
    settle(world, asked)
    token = redeem(world, asked)
    last = NOW + TOKEN_LIFETIME - SECOND
    principal = world.read(lambda uow: authenticate(uow, token, now=last)).principal
    assert principal.user == world.owner.user
    assert principal.device_pass is not None
    assert principal.device_pass.uuid == "dev-1"
    with pytest.raises(UnauthenticatedError, match="token-expired"):
        world.read(lambda uow: authenticate(uow, token, now=NOW + TOKEN_LIFETIME))


def test_token_goes_with_the_membership_of_whoever_allowed_it(world):
    ada = member(world, "ada", Role.MEMBER)
    asked = ask(world)
    settle(world, asked, by=ada)
    token = redeem(world, asked)
    run_blocking(manage_users.remove_member("acme", "ada", now=NOW), world.database)
    with pytest.raises(UnauthenticatedError, match="member-unknown"):
        world.read(lambda uow: authenticate(uow, token, now=NOW))


def test_decisions_and_tokens_are_audited_and_mere_questions_are_not(world):
    before = world.read(lambda uow: uow.audit.head())
    allowed, denied = ask(world), ask(world, "dev-2")
    assert world.read(lambda uow: uow.audit.head()) == before
    settle(world, allowed)
    settle(world, denied, allow=False)
    redeem(world, allowed)
    kinds = (EventKind.DEVICE_ALLOWED, EventKind.DEVICE_DECLINED, EventKind.DEVICE_TOKEN_ISSUED)
    (yes,), (no,), (issued,) = (world.events(kind) for kind in kinds)
    assert (yes.subject, yes.actor, yes.details["asked-from"]) == ("dev-1", world.owner.user.polis_id, PEER)
    assert (no.subject, no.actor) == ("dev-2", world.owner.user.polis_id)
    assert (issued.actor, issued.details["allowed-by"]) == ("device:dev-1", world.owner.user.polis_id)


def test_decision_is_made_once(world):
    asked = ask(world)
    settle(world, asked, allow=False)
    assert refusal(NotFoundError, settle, world, asked) == "user-code-unknown"
    assert state(world, asked) == "authorization-denied"


@pytest.mark.parametrize(("role", "may"), [(Role.OWNER, True), (Role.ADMIN, True), (Role.MEMBER, True)])
def test_members_who_may_add_devices_decide(world, role, may):
    user = member(world, "ada", role)
    assert (settle(world, ask(world), by=user).factory == world.factory) is may


class Rival:
    """The stored requests; whoever looks one up to act on it finds that somebody acts first."""

    def __init__(self, stored: DeviceAuthorizations, act: Callable[[DeviceAuthorizations, DeviceAuthorization], bool]):
        self._stored, self._act = stored, act

    def __getattr__(self, name: str):
        found = getattr(self._stored, name)
        return partial(self._overtake, found) if name.startswith("find_") else found

    def _overtake(self, find, *arguments):
        found = find(*arguments)
        assert self._act(self._stored, found)
        return found


def overtaken(world, steps, act) -> str:
    """Run the writing step of a service in one transaction with somebody who is faster; returns the refusal's code."""
    work = next(steps)

    def write(uow: UnitOfWork) -> None:
        rival = SimpleNamespace(device_authorizations=Rival(uow.device_authorizations, act), accounts=uow.accounts)
        work(rival)

    with pytest.raises(OwnrootError) as refused:
        world.write(write)
    return refused.value.code


def test_of_two_who_redeem_at_once_one_gets_a_token_and_the_other_hears_it(world):
    asked = ask(world)
    settle(world, asked)
    steps = redeem_code(asked.device_code, "dev-1", now=NOW)
    digest = token_sha256("of somebody else")
    code = overtaken(world, steps, lambda all_, one: all_.redeem(one.id, token_sha256=digest, expires_at=NOW + SECOND))
    assert code == "authorization-used"
    assert world.events(EventKind.DEVICE_TOKEN_ISSUED) == []


def test_of_two_who_decide_at_once_one_decides_and_the_other_hears_it(world):
    asked = ask(world)
    user = world.owner.user
    steps = decide(user, asked.user_code, allow=True, peer=PEER, now=NOW)
    code = overtaken(world, steps, lambda all_, one: all_.decide(one.id, AuthorizationState.DENIED, by=user.polis_id))
    assert code == "authorization-decided"
    assert world.events(EventKind.DEVICE_ALLOWED) == []


def test_auditor_does_not_decide(world):
    user = member(world, "ada", Role.AUDITOR)
    assert refusal(RefusedError, settle, world, ask(world), by=user) == "role-lacks-scope"


def test_strangers_hear_the_same_as_of_a_code_that_never_was(world):
    asked = ask(world)
    stranger = run_blocking(manage_users.create_user("eve", None, now=NOW), world.database)
    said = []
    for code in (asked.user_code, "BCDFGHJK"):
        with pytest.raises(NotFoundError) as refused:
            world.read(lambda uow, code=code: find_waiting(uow, stranger, code, now=NOW))
        said.append((refused.value.code, refused.value.detail))
    assert said[0] == said[1]


def test_so_many_wait_from_one_peer_and_no_more(world):
    for number in range(3):
        ask(world, f"dev-{number}", per_peer=3)
    assert refusal(UnavailableError, ask, world, "dev-3", per_peer=3) == "too-many-waiting"
    assert ask(world, "dev-3", peer="192.0.2.2", per_peer=3)
    assert ask(world, "dev-3", now=NOW + CODE_LIFETIME, per_peer=3)


def test_so_many_wait_for_one_factory_and_no_more(world):
    for number in range(3):
        ask(world, f"dev-{number}", peer=f"192.0.2.{number}", per_factory=3)
    assert refusal(UnavailableError, ask, world, "dev-3", peer="192.0.2.9", per_factory=3) == "too-many-waiting"


def test_decided_ones_make_room(world):
    asked = ask(world, per_peer=1)
    assert refusal(UnavailableError, ask, world, "dev-2", per_peer=1) == "too-many-waiting"
    settle(world, asked)
    assert ask(world, "dev-2", per_peer=1)


def test_ended_ones_are_told_apart_for_an_hour_and_then_forgotten(world):
    asked = ask(world)
    ends = NOW + CODE_LIFETIME
    world.write(lambda uow: sweep_logins(uow, now=ends + ENDED_KEPT - SECOND))
    assert state(world, asked, now=ends) == "authorization-expired"
    world.write(lambda uow: sweep_logins(uow, now=ends + ENDED_KEPT))
    assert state(world, asked, now=ends) == "authorization-unknown"
