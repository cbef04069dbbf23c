"""Shapes of the TUF endpoints (protocol: tuf.md §3-4).

Roots go to the client as text that holds JSON, and come from it as objects. What comes in is read by `tuf.canonical`:
a member given twice, or a fraction, never gets as far as a signature.
"""

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from ownroot.errors import InvalidInputError
from ownroot.tuf.canonical import Json, decode
from ownroot.tuf.keys import KeyType
from ownroot.tuf.metadata import ONLINE_ROLES, TARGETS_MAX_OCTETS, Document, Role, read_document
from ownroot.tuf.root_rules import Chains, Fault
from ownroot.tuf.signatures import Signature, parse_signatures
from ownroot.tuf.updates import FaultyRootError, TargetsSignatures, Upload
from ownroot.wire.certs import ChangeMeta
from ownroot.wire.documents import write_document

PRODUCTION_MAX_OCTETS: Final = 4 * TARGETS_MAX_OCTETS
"""All tags' production targets in one upload: a server holds them in memory several times over."""

_MAX_OCTETS = 1024 * 1024
_MAX_TAGS = 32


class UpdateBegin(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """POST: begin a change. `shortcut`: the client goes on by itself; nothing depends on it."""

    message: str = ""
    first_time: bool = False
    shortcut: bool = False


class UpdateBegun(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The new change. The first root key comes with `first-time` alone and is written down as it is."""

    txid: str
    first_root_sec: dict[str, Any] | None = msgspec.field(default=None, name="first_root.sec")
    first_root_pub: dict[str, Any] | None = msgspec.field(default=None, name="first_root.pub")


class UpdateStep(msgspec.Struct, frozen=True, kw_only=True):
    """A step of whoever began the change (empty `txid`), or of somebody who was told its id."""

    txid: str = ""


class UpdateStage(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """PUT, for the description; it is read by `parse_stage`."""

    txid: str = ""
    ci_root: dict[str, Any]
    prod_root: dict[str, Any]
    targets_signatures: dict[str, list[dict[str, Any]]] = {}
    waves_signatures: dict[str, list[dict[str, Any]]] = {}


class OnlineKeysOrder(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """POST: make new online keys for the roles that are true."""

    txid: str = ""
    key_type: str = KeyType.ED25519.value
    targets: bool = False
    snapshot: bool = False
    timestamp: bool = False

    @property
    def roles(self) -> frozenset[Role]:
        """The roles named."""
        return frozenset(role for role in ONLINE_ROLES if getattr(self, role.value))


class RootsState(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """Both roots as text, empty if there is none, and the key ids of the online roles."""

    ci_root: str
    prod_root: str
    online_keys: dict[str, str]


class RootsNote(msgspec.Struct, frozen=True):
    """One line about a change or a root."""

    kind: str
    message: str
    args: dict[str, str] = {}


class RootsIssues(msgspec.Struct, frozen=True):
    """Why a change cannot be published, and what is unwise."""

    errors: list[RootsNote]
    warnings: list[RootsNote]


class RootUpdates(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """GET: the roots as they are and as they would be. `status`: NONE or STARTED."""

    status: str
    current: RootsState
    updated: RootsState | None = None
    change_meta: ChangeMeta
    first_time: bool
    amendments: list[RootsNote]
    issues: RootsIssues


class TargetForm(msgspec.Struct, frozen=True, kw_only=True):
    """POST: publish a target to a tag's test devices (ours: docs/wire)."""

    name: str
    tag: str
    target: dict[str, Any]


class ProductionTargetsForm(msgspec.Struct, frozen=True, kw_only=True):
    """POST: all tags' targets for production devices, signed offline (ours: docs/wire); read by `parse_production`."""

    targets: dict[str, dict[str, Any]]


class StagedUpload(msgspec.Struct, frozen=True):
    """What `parse_stage` read."""

    txid: str
    upload: Upload


def parse_stage(body: bytes) -> StagedUpload:
    """Read what an owner's program wants staged.

    Raises:
        InvalidInputError: `json-too-long`, `json-malformed`. FaultyRootError: a document that is none.
    """
    sent = decode(body, max_octets=_MAX_OCTETS)
    if not isinstance(sent, dict):
        raise InvalidInputError("json-not-object", "The JSON document must be an object.")
    txid = "" if sent.get("txid") is None else sent["txid"]
    if not isinstance(txid, str):
        raise InvalidInputError("bad-field", "txid must be text.", fields={"txid": "not text"})
    if sent.get("waves-signatures"):
        raise FaultyRootError([Fault("wave-unknown", "There is no wave of these names on this server.")])
    try:
        production = sent.get("prod-root")
        chains = Chains(read_document(sent.get("ci-root")), None if production is None else read_document(production))
        return StagedUpload(txid, Upload(chains, _signatures(sent.get("targets-signatures"))))
    except InvalidInputError as error:
        raise FaultyRootError([Fault(error.code, error.detail)]) from error


def parse_production(body: bytes) -> dict[str, Document]:
    """Read what an owner's program wants published to production devices; returns it by tag.

    Raises:
        InvalidInputError: `json-too-long`, `json-malformed`, `bad-field`, and as `read_document`.
    """
    sent = decode(body, max_octets=PRODUCTION_MAX_OCTETS)
    targets = sent.get("targets") if isinstance(sent, dict) else None
    if not isinstance(targets, dict) or not targets:
        raise InvalidInputError(
            "bad-field",
            "`targets` must be an object: tag -> targets document.",
            fields={"targets": "missing, or no object"},
        )
    return {tag: read_document(document) for tag, document in targets.items()}


def production_document(targets: Mapping[str, Document]) -> dict[str, Json]:
    """Return what `parse_production` reads.

    Raises:
        InvalidInputError: `tuf-targets-too-long`: more than is taken in one upload.
    """
    upload: dict[str, Json] = {"targets": {tag: _object(document) for tag, document in targets.items()}}
    octets = len(write_document(upload))
    if octets > PRODUCTION_MAX_OCTETS:
        raise InvalidInputError(
            "tuf-targets-too-long",
            f"The targets of all {len(targets)} tags have {octets} bytes together; {PRODUCTION_MAX_OCTETS} are taken.",
        )
    return upload


def stage_document(chains: Chains, *, txid: str, targets_signatures: TargetsSignatures) -> dict[str, Json]:
    """Return what an owner's program sends to have both roots staged; `chains` has a production root."""
    sent: dict[str, Json] = {"txid": txid, "ci-root": _object(chains.ci), "prod-root": _object(chains.production_or_ci)}
    if targets_signatures:
        made = {tag: [one.document() for one in signatures] for tag, signatures in targets_signatures.items()}
        sent["targets-signatures"] = made
    return sent


def read_tags(body: bytes) -> dict[str, Document]:
    """Read targets documents by tag.

    Raises:
        InvalidInputError: `json-too-long`, `json-malformed`, `json-not-object`, and as `read_document`.
    """
    sent = decode(body, max_octets=_MAX_TAGS * TARGETS_MAX_OCTETS)
    if not isinstance(sent, dict):
        raise InvalidInputError("json-not-object", "The JSON document must be an object.")
    return {tag: read_document(document) for tag, document in sent.items()}


def document_text(document: Document | None) -> str:
    """Return a document as the text that clients parse; empty if there is none."""
    return "" if document is None else document.encoded().decode()


def _object(document: Document) -> Json:
    return {"signatures": [one.document() for one in document.signatures], "signed": document.signed}


def _signatures(value: Json) -> dict[str, tuple[Signature, ...]]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInputError("tuf-document-invalid", "`targets-signatures` is an object: tag -> signatures.")
    return {tag: parse_signatures(made) for tag, made in value.items()}
