"""A transaction's view of everything: one object per repository, over one session."""

from ownroot.storage.accounts import SqlAccounts
from ownroot.storage.audit_log import SqlAuditLog
from ownroot.storage.backend_keys import SqlBackendKeys
from ownroot.storage.change_feed import SqlChangeFeed
from ownroot.storage.clones import SqlClones
from ownroot.storage.configs import SqlConfigs
from ownroot.storage.denied_keys import SqlDeniedKeys
from ownroot.storage.device_authorizations import SqlDeviceAuthorizations
from ownroot.storage.device_documents import SqlDeviceDocuments, SqlReporters
from ownroot.storage.device_ends import SqlDeviceEnds
from ownroot.storage.device_groups import SqlDeviceGroups
from ownroot.storage.device_tests import SqlDeviceTests
from ownroot.storage.device_updates import SqlDeviceUpdates
from ownroot.storage.devices import SqlDevices
from ownroot.storage.factories import SqlFactories
from ownroot.storage.facts import SqlFacts
from ownroot.storage.heads import Heads
from ownroot.storage.held_devices import SqlHeldDevices
from ownroot.storage.issuances import SqlIssuanceLog
from ownroot.storage.logins import SqlLogins
from ownroot.storage.oauth import SqlOAuth
from ownroot.storage.options import StorageOptions
from ownroot.storage.pki_states import SqlPkiStates
from ownroot.storage.recovery_policies import SqlRecoveryPolicies
from ownroot.storage.refusals import SqlRefusals
from ownroot.storage.restores import SqlRestores
from ownroot.storage.session import Session
from ownroot.storage.token_keys import SqlTokenKeys
from ownroot.storage.tuf_repositories import SqlTufRepositories


class SqlUnitOfWork:
    """Implements `services.ports.UnitOfWork`."""

    __slots__ = (
        "accounts",
        "audit",
        "changes",
        "clones",
        "configs",
        "denied_keys",
        "device_authorizations",
        "devices",
        "documents",
        "ends",
        "factories",
        "facts",
        "groups",
        "heads",
        "held_devices",
        "issuances",
        "keys",
        "logins",
        "oauth",
        "pki",
        "recovery_policies",
        "refusals",
        "reporters",
        "restores",
        "tests",
        "token_keys",
        "tuf",
        "updates",
    )

    def __init__(self, session: Session, options: StorageOptions, *, for_update: bool) -> None:
        self.heads = Heads(session, for_update=for_update, changes_kept=options.changes_kept)
        self.facts = SqlFacts(session)
        self.factories = SqlFactories(session)
        self.accounts = SqlAccounts(session)
        self.logins = SqlLogins(session, sessions_kept=options.sessions_kept)
        self.oauth = SqlOAuth(session, options)
        self.device_authorizations = SqlDeviceAuthorizations(session)
        self.pki = SqlPkiStates(session)
        self.keys = SqlBackendKeys(session, kept_per_kind=options.pending_keys_kept)
        self.token_keys = SqlTokenKeys(session)
        self.tuf = SqlTufRepositories(session)
        self.devices = SqlDevices(session, self.heads)
        self.ends = SqlDeviceEnds(session)
        self.groups = SqlDeviceGroups(session)
        self.reporters = SqlReporters(session)
        self.documents = SqlDeviceDocuments(session)
        self.updates = SqlDeviceUpdates(session)
        self.tests = SqlDeviceTests(session)
        self.configs = SqlConfigs(session)
        self.restores = SqlRestores(session)
        self.held_devices = SqlHeldDevices(session, kept_per_ca=options.held_devices_kept)
        self.denied_keys = SqlDeniedKeys(session)
        self.recovery_policies = SqlRecoveryPolicies(session)
        self.clones = SqlClones(session)
        self.issuances = SqlIssuanceLog(session)
        self.refusals = SqlRefusals(session, kept_per_factory=options.refusals_kept)
        self.audit = SqlAuditLog(session, self.heads)
        self.changes = SqlChangeFeed(session, self.heads)
