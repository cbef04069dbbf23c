"""A process that serves the gateway: one of several workers on one port."""

from collections.abc import Callable
from pathlib import Path

from ownroot.bootstrap.installation import keyring_of
from ownroot.bootstrap.jobs import GatewayJob
from ownroot.clock import utc_now
from ownroot.gateway.settings import GatewaySettings
from ownroot.gateway.worker import WorkerReport, run_worker
from ownroot.services.config_vault import ConfigVault
from ownroot.storage import open_database


def run_gateway(job: GatewayJob, ready: Callable[[], None]) -> int:
    """Serve until SIGTERM or SIGINT; returns the exit status. The job's keys open TLS keys and configurations."""

    def report(_report: WorkerReport) -> None:
        ready()

    settings = GatewaySettings(
        host=job.host,
        port=job.port,
        worker=job.worker,
        trust_grace_seconds=job.trust_grace_seconds,
        allow_rsa=job.allow_rsa,
        allow_ca_profile=job.allow_ca_profile,
        admin_port=job.admin_port,
        report_quota_bytes=job.report_quota_mib << 20,
        issuing_socket=Path(job.issuing_socket),
        est_host=job.est_host,
        est_port=job.est_port,
    )
    database = open_database(job.database_url)
    try:
        keyring = keyring_of(job.sub_keys)
        return run_worker(
            settings,
            database=database,
            open_key=keyring.open,
            config_vault=ConfigVault(keyring),
            clock=utc_now,
            ready=report,
        )
    finally:
        database.close()
