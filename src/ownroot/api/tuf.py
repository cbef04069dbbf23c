"""The TUF repository of a factory over HTTP (protocol: tuf.md §3-4)."""

import re
from collections.abc import Mapping
from functools import partial

import msgspec

from ownroot.api.backend import Backend
from ownroot.errors import InvalidInputError, NotFoundError
from ownroot.pki.names import parse_resource_name
from ownroot.services.authority import Principal
from ownroot.services.scopes import Role, Scope
from ownroot.services.tuf_keys import online_signers
from ownroot.services.tuf_production import publish_production_targets
from ownroot.services.tuf_publishing import TargetRef, add_target, remove_target
from ownroot.services.tuf_root_updates import (
    RootsView,
    apply_root_update,
    begin_root_update,
    cancel_root_update,
    make_online_keys,
    stage_root_update,
    view_roots,
)
from ownroot.services.tuf_store import TagRef
from ownroot.tuf.keys import KeyType
from ownroot.tuf.metadata import Document, read_root
from ownroot.tuf.metadata import Role as TufRole
from ownroot.tuf.root_review import Note, Shape, list_amendments, list_warnings
from ownroot.tuf.root_rules import Chains, OnlineKeys
from ownroot.web.endpoint import Access, Call, Endpoint, JsonBody, Reply
from ownroot.wire.certs import ChangeMeta
from ownroot.wire.documents import read_document
from ownroot.wire.tuf import (
    PRODUCTION_MAX_OCTETS,
    OnlineKeysOrder,
    ProductionTargetsForm,
    RootsIssues,
    RootsNote,
    RootsState,
    RootUpdates,
    StagedUpload,
    TargetForm,
    UpdateBegin,
    UpdateBegun,
    UpdateStage,
    UpdateStep,
    document_text,
    parse_production,
    parse_stage,
)

_MANAGERS = (Role.OWNER, Role.ADMIN)
_READ = Access(scopes=(Scope.CERTS_READ, Scope.DEVICES_READ), or_roles=_MANAGERS)
_MANAGE = Access(scopes=(Scope.CERTS_MANAGE,), roles=_MANAGERS, audited=True)
_REPOSITORY = "/ota/repo/{factory}/api/v1/user_repo"
_UPDATES = f"{_REPOSITORY}/root/updates"
_FACTORY = "/ota/factories/{factory}"
_NUMBERED = re.compile(r"([1-9][0-9]{0,3})\.root\.json\Z", re.ASCII)
_BELOW_ROOT = ("timestamp.json", "snapshot.json", "targets.json")


class _ChainQuery(msgspec.Struct, frozen=True):
    """Which chain, and below the roots which tag."""

    production: bool = False
    tag: str | None = None


class _NamesQuery(msgspec.Struct, frozen=True):
    """Comma lists; empty means all."""

    tag: str | None = None
    name: str | None = None


class TufPage:
    """Handlers."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def show_document(self, call: Call[Principal]) -> Reply:
        """A root by number or the newest, or a tag's documents: the bytes that were signed."""
        factory_id, query, name = call.caller.factory.id, call.query, call.path["document"]
        if name in _BELOW_ROOT:
            ref = TagRef(factory_id, query.production, query.tag or "")
            documents = await self._backend.read(lambda uow: uow.tuf.documents(ref))
            data = None if documents is None else getattr(documents, name.removesuffix(".json"))
        else:
            version = _root_number(name)
            data = await self._backend.read(
                lambda uow: uow.tuf.find_root(factory_id, version, production=query.production)
            )
        if data is None:
            raise NotFoundError("tuf-document-unknown", f"There is no {name[:64]} in this repository.")
        return Reply(body=data)

    async def show_updates(self, call: Call[Principal]) -> Reply:
        """What is, and what would be."""
        factory_id, keyring, now = call.caller.factory.id, self._backend.keyring, call.now
        view = await self._backend.read(lambda uow: view_roots(uow, factory_id, keyring, now=now))
        return Reply(body=_updates(view, call))

    async def begin(self, call: Call[Principal]) -> Reply:
        """201 with the transaction id, and with the first root key if it was asked for."""
        asked: UpdateBegin = call.body
        begun = await self._backend.run(
            begin_root_update(
                message=asked.message,
                is_first_time=asked.first_time,
                by=call.caller,
                keyring=self._backend.keyring,
                now=call.now,
            )
        )
        if begun.first_root is None:
            return Reply(201, UpdateBegun(txid=begun.txid))
        first = begun.first_root
        body = UpdateBegun(txid=begun.txid, first_root_sec=first.document(), first_root_pub=first.key.document())
        return Reply(201, body)

    async def stage(self, call: Call[Principal]) -> Reply:
        """Replace what is staged."""
        sent: StagedUpload = call.body
        await self._backend.run(stage_root_update(sent.upload, txid=sent.txid, by=call.caller, now=call.now))
        return Reply(200, {})

    async def generate(self, call: Call[Principal]) -> Reply:
        """New online keys, staged."""
        order: OnlineKeysOrder = call.body
        if not order.roles:
            raise InvalidInputError("missing-field", "Name a role: targets, snapshot or timestamp.")
        await self._backend.run(
            make_online_keys(
                order.roles,
                _keytype(order.key_type),
                txid=order.txid,
                by=call.caller,
                keyring=self._backend.keyring,
                now=call.now,
            )
        )
        return Reply(200, {})

    async def apply(self, call: Call[Principal]) -> Reply:
        """Publish."""
        step: UpdateStep = call.body
        await self._backend.run(
            apply_root_update(txid=step.txid, by=call.caller, keyring=self._backend.keyring, now=call.now)
        )
        return Reply(200, {})

    async def cancel(self, call: Call[Principal]) -> Reply:
        """Give up; there is no body."""
        await self._backend.run(cancel_root_update(by=call.caller, now=call.now))
        return Reply(200, {})

    async def show_production_targets(self, call: Call[Principal]) -> Reply:
        """By tag; `{}` if there are none and none was named."""
        factory_id = call.caller.factory.id
        wanted = _named(call.query.tag)
        found = await self._backend.read(
            lambda uow: {
                tag: documents.targets
                for tag in (wanted or uow.tuf.tags(factory_id, production=True))
                if (documents := uow.tuf.documents(TagRef(factory_id, production=True, tag=tag))) is not None
            }
        )
        _require_all(wanted, found, "production targets for the tag")
        return Reply(body={tag: msgspec.Raw(data) for tag, data in found.items()})

    async def show_wave_targets(self, call: Call[Principal]) -> Reply:
        """There are no waves on this server; naming one is an error."""
        _require_all(_named(call.query.name), {}, "wave")
        return Reply(body={})

    async def show_online_targets_key(self, call: Call[Principal]) -> Reply:
        """The public half of the online targets key, as the root shows it."""
        factory_id, keyring = call.caller.factory.id, self._backend.keyring
        signers = await self._backend.read(lambda uow: online_signers(uow, factory_id, keyring))
        return Reply(body=signers[TufRole.TARGETS].key.document())

    async def add_target(self, call: Call[Principal]) -> Reply:
        """Publish to a tag's test devices."""
        form: TargetForm = call.body
        ref = TargetRef(parse_resource_name(form.tag), form.name)
        keyring = self._backend.keyring
        work = partial(add_target, ref=ref, entry=form.target, by=call.caller, keyring=keyring, now=call.now)
        documents = await self._backend.commit(work)
        return Reply(201, msgspec.Raw(documents.targets))

    async def publish_production(self, call: Call[Principal]) -> Reply:
        """Publish to the production devices of all tags."""
        sent: Mapping[str, Document] = call.body
        for tag in sent:
            parse_resource_name(tag)
        keyring = self._backend.keyring
        work = partial(publish_production_targets, sent=sent, by=call.caller, keyring=keyring, now=call.now)
        made = await self._backend.commit(work)
        return Reply(201, {tag: msgspec.Raw(documents.targets) for tag, documents in made.items()})

    async def remove_target(self, call: Call[Principal]) -> Reply:
        """Take back from a tag."""
        ref = TargetRef(call.path["tag"], call.path["name"])
        keyring = self._backend.keyring
        await self._backend.commit(partial(remove_target, ref=ref, by=call.caller, keyring=keyring, now=call.now))
        return Reply(204)


def endpoints(backend: Backend) -> tuple[Endpoint[Principal], ...]:
    """Declare them."""
    page = TufPage(backend)
    return (
        Endpoint(
            method="GET",
            path=f"{_REPOSITORY}/{{document}}",
            handler=page.show_document,
            access=_READ,
            summary="Show `root.json`, `{N}.root.json`, or a tag's `timestamp.json`, `snapshot.json`, `targets.json`.",
            query=_ChainQuery,
        ),
        Endpoint(
            method="GET",
            path=_UPDATES,
            handler=page.show_updates,
            access=_READ,
            summary="Show the roots and the change of them that is under way.",
            replies={200: RootUpdates},
        ),
        Endpoint(
            method="POST",
            path=_UPDATES,
            handler=page.begin,
            access=_MANAGE,
            summary="Begin a change of the roots.",
            body=JsonBody(lambda body: read_document(body, UpdateBegin), UpdateBegin),
            replies={201: UpdateBegun},
        ),
        Endpoint(
            method="PUT",
            path=_UPDATES,
            handler=page.stage,
            access=_MANAGE,
            summary="Stage both roots. 422: they break a rule, one line each.",
            body=JsonBody(parse_stage, UpdateStage),
        ),
        Endpoint(
            method="POST",
            path=f"{_UPDATES}/gen-online-keys",
            handler=page.generate,
            access=_MANAGE,
            summary="Stage new online keys.",
            body=JsonBody(lambda body: read_document(body, OnlineKeysOrder), OnlineKeysOrder),
        ),
        Endpoint(
            method="POST",
            path=f"{_UPDATES}/apply",
            handler=page.apply,
            access=_MANAGE,
            summary="Publish the staged roots. 422: devices would refuse them, one line each.",
            body=JsonBody(lambda body: read_document(body, UpdateStep), UpdateStep),
        ),
        Endpoint(
            method="POST",
            path=f"{_UPDATES}/cancel",
            handler=page.cancel,
            access=_MANAGE,
            summary="Give the change up.",
        ),
        Endpoint(
            method="GET",
            path=f"{_FACTORY}/prod-targets/",
            handler=page.show_production_targets,
            access=_READ,
            summary="Show production targets by tag.",
            query=_NamesQuery,
        ),
        Endpoint(
            method="POST",
            path=f"{_FACTORY}/prod-targets/",
            handler=page.publish_production,
            access=_MANAGE,
            summary="Publish all tags' targets for production devices, signed by offline targets keys.",
            body=JsonBody(parse_production, ProductionTargetsForm, max_bytes=PRODUCTION_MAX_OCTETS),
            replies={201: None},
        ),
        Endpoint(
            method="GET",
            path=f"{_FACTORY}/wave-targets/",
            handler=page.show_wave_targets,
            access=_READ,
            summary="Show targets of waves by name.",
            query=_NamesQuery,
        ),
        Endpoint(
            method="GET",
            path=f"{_FACTORY}/ci-targets.pub",
            handler=page.show_online_targets_key,
            access=_READ,
            summary="Show the public online targets key.",
        ),
        Endpoint(
            method="POST",
            path=f"{_FACTORY}/ci-targets/",
            handler=page.add_target,
            access=_MANAGE,
            summary="Publish a target to the test devices of a tag.",
            body=JsonBody(lambda body: read_document(body, TargetForm), TargetForm),
            replies={201: None},
        ),
        Endpoint(
            method="DELETE",
            path=f"{_FACTORY}/ci-targets/{{tag}}/{{name}}/",
            handler=page.remove_target,
            access=_MANAGE,
            summary="Take a target back from a tag.",
            replies={204: None},
        ),
    )


def _root_number(name: str) -> int | None:
    """Which root a file name means: None is the newest. Raises NotFoundError `tuf-document-unknown`."""
    if name == "root.json":
        return None
    found = _NUMBERED.match(name)
    if found is None:
        raise NotFoundError("tuf-document-unknown", f"There is no {name[:64]} in this repository.")
    return int(found.group(1))


def _updates(view: RootsView, call: Call[Principal]) -> RootUpdates:
    published, update = view.published, view.update
    present = _shape(published.roots, published.online_keys)
    proposed = present if update is None else _shape(update.staged, update.online_keys)
    warnings = list_warnings(proposed, first_root_key=view.first_root_key, now=call.now)
    return RootUpdates(
        status="NONE" if update is None else "STARTED",
        current=_state(published.roots, published.online_keys),
        updated=None if update is None else _state(update.staged, update.online_keys),
        change_meta=ChangeMeta()
        if update is None
        else ChangeMeta(
            created_by=update.initiator,
            created_at=f"{update.created_at:%Y-%m-%dT%H:%M:%SZ}",
            updated_by=update.updated_by,
            updated_at=f"{update.updated_at:%Y-%m-%dT%H:%M:%SZ}",
        ),
        first_time=update is not None and update.is_first_time,
        amendments=[] if update is None else _notes(list_amendments(present, proposed)),
        issues=RootsIssues(
            errors=[RootsNote(fault.kind, fault.message) for fault in view.faults], warnings=_notes(warnings)
        ),
    )


def _shape(chains: Chains, online_keys: OnlineKeys) -> Shape:
    production = None
    if chains.production is not None:
        production = read_root(chains.production.signed).roles[TufRole.TARGETS].threshold
    return Shape(read_root(chains.ci.signed), production, online_keys)


def _state(chains: Chains, online_keys: OnlineKeys) -> RootsState:
    return RootsState(
        ci_root=document_text(chains.ci),
        prod_root=document_text(chains.production),
        online_keys={role.value: key_id for role, key_id in online_keys.items()},
    )


def _notes(notes: list[Note]) -> list[RootsNote]:
    return [RootsNote(note.kind, note.message, dict(note.args)) for note in notes]


def _keytype(text: str) -> KeyType:
    if text.upper() not in [known.value for known in KeyType]:
        raise InvalidInputError("tuf-online-key-type", "`key-type` must be ED25519.", fields={"key-type": "unknown"})
    return KeyType(text.upper())


def _named(text: str | None) -> list[str]:
    return [name for name in (text or "").split(",") if name]


def _require_all(wanted: list[str], found: object, what: str) -> None:
    missing = [name for name in wanted if not (isinstance(found, dict) and name in found)]
    if missing:
        raise NotFoundError("tuf-document-unknown", f"There are no {what} {missing[0][:64]}.")
