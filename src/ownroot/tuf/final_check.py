"""The last question before anything is published: would a device take it? (protocol: tuf.md §6.3, §8)

Other rules say what an owner has to mend. This asks the device's own rules, over the very bytes that will be served, so
that nothing a device refuses for good is ever published, whatever rule of ours has a hole.
"""

from collections.abc import Iterable
from datetime import datetime

from ownroot.errors import RefusedError
from ownroot.tuf.device_rules import DeviceTrust
from ownroot.tuf.metadata import Document
from ownroot.tuf.repository import TagDocuments
from ownroot.tuf.root_rules import Chains, Fault


def find_root_refusals(staged: Chains, current: Chains) -> list[Fault]:
    """Return why a device that holds the present root of either chain would not take the next one."""
    steps = (
        ("CI root", staged.ci, current.ci),
        ("production root", staged.production_or_ci, current.production_or_ci),
    )
    faults = []
    for name, new, old in steps:
        try:
            DeviceTrust(old.encoded()).update_root(new.encoded())
        except RefusedError as error:
            faults.append(_refused(name, error))
    return faults


def find_document_refusals(root: Document, documents: Iterable[TagDocuments], *, now: datetime) -> list[Fault]:
    """Return why a device with this root would not take documents below it.

    Targets that have ended are no fault: production targets end when those who signed them said so, and an owner whose
    last release is old must still be able to change the root.
    """
    faults = []
    for made in documents:
        trust = DeviceTrust(root.encoded())
        try:
            trust.update_timestamp(made.timestamp, now=now)
            trust.update_snapshot(made.snapshot, now=now)
            trust.verify_targets(made.targets)
        except RefusedError as error:
            faults.append(_refused(f"metadata {made.version}", error))
    return faults


def _refused(name: str, error: RefusedError) -> Fault:
    return Fault("device-refuses", f"Devices would refuse the {name}: {error.detail} ({error.code})")
