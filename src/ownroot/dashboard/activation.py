"""`/activate/`: somebody enters the code of a device, signs in, looks at the device, and allows or denies it.

Only who is signed in learns anything about a code, and only a few wrong ones may be tried.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from importlib.resources import files
from typing import Any, Final

import msgspec

from ownroot.dashboard import pages
from ownroot.dashboard.replies import go_to, page, status_of, style
from ownroot.dashboard.sign_in_desk import SignInDesk, Store, Trail
from ownroot.dashboard.visits import (
    require_csrf,
    require_own_form,
    session_cookie,
    session_secret,
    visitor_of,
)
from ownroot.errors import InvalidInputError, NotFoundError, OwnrootError, RefusedError, UnavailableError
from ownroot.services.attempt_limits import AttemptLimit, peer_network
from ownroot.services.authorize_registration import Waiting, decide, find_waiting
from ownroot.services.read_uuid_record import read_uuid_record
from ownroot.services.sign_in import SignedIn, close_session, find_session
from ownroot.services.user_codes import parse_user_code, shown_user_code
from ownroot.web.endpoint import PUBLIC, Call, Endpoint, FormBody, Reply
from ownroot.wire.activation import CodeForm, DecisionForm, SignInForm, SignOutForm
from ownroot.wire.forms import read_form

START: Final = "/activate/"
_DEVICE: Final = "/activate/device/"
_WINDOW: Final = timedelta(minutes=15)
_STYLE: Final = files("ownroot.dashboard").joinpath("style.css").read_bytes()

Handler = Callable[[Call[Any]], Awaitable[Reply]]


class ActivationPages:
    """Handlers of the pages.

    Args:
        public_url: where people reach the pages, if that is not what their requests say.
    """

    def __init__(self, store: Store, trail: Trail, public_url: str | None) -> None:
        self._store = store
        self._desk = SignInDesk(store, trail)
        self._public_url = public_url
        self._codes_of_user = AttemptLimit("codes", most=10, window=_WINDOW)
        self._codes_of_peer = AttemptLimit("codes from your address", most=50, window=_WINDOW)

    async def start(self, call: Call[Any]) -> Reply:
        """Ask for the code; a link may bring it along."""
        signed_in = await self._signed_in(call)
        code = call.query.user_code[:32]
        return page(pages.code_page(code, visitor=None if signed_in is None else visitor_of(signed_in)))

    async def enter_code(self, call: Call[Any]) -> Reply:
        """Take the code to the next page, whatever it is worth."""
        try:
            code = parse_user_code(call.body.user_code)
        except InvalidInputError as error:
            return page(pages.code_page(call.body.user_code[:32], problem=error.detail), status=400)
        return go_to(f"{_DEVICE}?user_code={shown_user_code(code)}")

    async def show_device(self, call: Call[Any]) -> Reply:
        """Show the device behind the code to who is signed in; ask everybody else to sign in."""
        code = parse_user_code(call.query.user_code)
        signed_in = await self._signed_in(call)
        if signed_in is None:
            return page(pages.sign_in_page(code))
        visitor = visitor_of(signed_in)
        try:
            waiting = await self._find(call, signed_in, code)
        except (NotFoundError, RefusedError, UnavailableError) as error:
            status, headers = status_of(error)
            html = pages.code_page(shown_user_code(code), visitor=visitor, problem=error.detail)
            return page(html, status=status, headers=headers)
        uuid = waiting.authorization.uuid
        record = await self._store.read(lambda uow: read_uuid_record(uow, waiting.factory, uuid))
        return page(pages.question_page(waiting, record, visitor))

    async def sign_in(self, call: Call[Any]) -> Reply:
        """Open a session and go on to the device."""
        require_own_form(call, self._public_url)
        form: SignInForm = call.body
        code, peer = parse_user_code(form.user_code), call.arrival.client_address
        try:
            signed_in = await self._desk.sign_in(form.name, form.password, peer=peer, now=call.now)
        except OwnrootError as error:
            status, headers = status_of(error)
            html = pages.sign_in_page(code, name=form.name[:64], problem=error.detail)
            return page(html, status=status, headers=headers)
        cookie = session_cookie(signed_in.secret, secure=self._is_secure(call))
        return go_to(f"{_DEVICE}?user_code={shown_user_code(code)}", headers=cookie)

    async def decide(self, call: Call[Any]) -> Reply:
        """Allow or deny the device."""
        require_own_form(call, self._public_url)
        form: DecisionForm = call.body
        code = parse_user_code(form.user_code)
        signed_in = await self._signed_in(call)
        if signed_in is None:
            return page(pages.sign_in_page(code, problem="Your session has ended. Nothing was decided."), status=403)
        visitor = visitor_of(signed_in)
        require_csrf(visitor, form.csrf)
        if form.decision not in ("allow", "deny"):
            raise InvalidInputError("decision-missing", "The form says neither allow nor deny. Nothing was decided.")
        allow, peer = form.decision == "allow", call.arrival.client_address
        await self._find(call, signed_in, code)
        waiting = await self._store.run(decide(signed_in.user, code, allow=allow, peer=peer, now=call.now))
        return page(pages.result_page(waiting, visitor, allowed=allow))

    async def sign_out(self, call: Call[Any]) -> Reply:
        """End the session."""
        require_own_form(call, self._public_url)
        signed_in = await self._signed_in(call)
        if signed_in is not None:
            require_csrf(visitor_of(signed_in), call.body.csrf)
            await self._store.run(close_session(signed_in.secret))
        return go_to(START, headers=session_cookie("", secure=self._is_secure(call)))

    async def _signed_in(self, call: Call[Any]) -> SignedIn | None:
        secret = session_secret(call)
        if secret is None:
            return None
        return await self._store.read(lambda uow: find_session(uow, secret, now=call.now))

    async def _find(self, call: Call[Any], signed_in: SignedIn, code: str) -> Waiting:
        """Look a code up; a wrong one costs an attempt."""
        user, network = signed_in.user, peer_network(call.arrival.client_address)
        self._codes_of_user.charge(user.polis_id, call.now)
        self._codes_of_peer.charge(network, call.now)
        waiting = await self._store.read(lambda uow: find_waiting(uow, user, code, now=call.now))
        self._codes_of_user.give_back(user.polis_id)
        self._codes_of_peer.give_back(network)
        return waiting

    def _is_secure(self, call: Call[Any]) -> bool:
        return any(url is not None and url.startswith("https:") for url in (self._public_url, call.arrival.base_url))


def endpoints(store: Store, trail: Trail, public_url: str | None) -> tuple[Endpoint[Any], ...]:
    """Declare them; none is part of the API's description."""
    handlers = ActivationPages(store, trail, public_url)
    return (
        _shown("/activate", _to_start),
        _shown("/activate/style.css", _show_style),
        _shown(START, handlers.start, query=CodeForm),
        _shown(_DEVICE, handlers.show_device, query=CodeForm),
        _sent(START, handlers.enter_code, CodeForm),
        _sent(_DEVICE, handlers.decide, DecisionForm),
        _sent("/activate/sign-in/", handlers.sign_in, SignInForm),
        _sent("/activate/sign-out/", handlers.sign_out, SignOutForm),
    )


async def _to_start(_call: Call[Any]) -> Reply:
    return go_to(START)


async def _show_style(_call: Call[Any]) -> Reply:
    return style(_STYLE)


def _refusal(error: OwnrootError) -> Reply:
    status, headers = status_of(error)
    return page(pages.error_page(error.detail), status=status, headers=headers)


def _shown(path: str, handler: Handler, *, query: type[msgspec.Struct] | None = None) -> Endpoint[Any]:
    return Endpoint(
        method="GET",
        path=path,
        handler=handler,
        access=PUBLIC,
        summary="A page.",
        query=query,
        refusal=_refusal,
        hidden=True,
    )


def _sent(path: str, handler: Handler, shape: type[msgspec.Struct]) -> Endpoint[Any]:
    return Endpoint(
        method="POST",
        path=path,
        handler=handler,
        access=PUBLIC,
        summary="A form of a page.",
        body=FormBody(partial(read_form, shape=shape), shape),
        refusal=_refusal,
        hidden=True,
    )
