"""Entry of every child process of the supervisor: `python -m ownroot.bootstrap.child`."""

import signal
import sys
from functools import partial
from types import FrameType

import structlog

from ownroot.bootstrap.hardening import allow_many_open_files, forbid_core_dumps
from ownroot.bootstrap.jobs import ApiJob, claim_stdout, end_with_supervisor, read_job, say_ready
from ownroot.bootstrap.logs import set_up_logs
from ownroot.errors import OwnrootError

_STDIN = 0


def main() -> int:
    """Take the job, do it, return the exit status."""
    forbid_core_dumps()
    allow_many_open_files()
    report = claim_stdout()
    job = read_job(_STDIN)
    # Before the job installs handlers of its own, and after it took them down again, a signal just ends us quietly.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    end_with_supervisor(_STDIN)
    ready = partial(say_ready, report)
    try:
        if isinstance(job, ApiJob):
            set_up_logs(job.log_level, part="api")
            from ownroot.bootstrap.api_process import run_api  # noqa: PLC0415 - gateway workers carry no web framework

            return run_api(job, ready)
        set_up_logs(job.log_level, part="gateway", worker=job.worker)
        from ownroot.bootstrap.gateway_process import run_gateway  # noqa: PLC0415 - nor the API the TLS engine

        return run_gateway(job, ready)
    except OwnrootError as error:
        structlog.get_logger("ownroot").error("cannot serve", code=error.code, detail=error.detail)
        return 1
    except Exception:  # noqa: BLE001 - the process edge: logged here, where secrets are blotted out
        structlog.get_logger("ownroot").exception("crashed")
        return 1


def _leave(_number: int, _frame: FrameType | None) -> None:
    raise SystemExit(0)


if __name__ == "__main__":
    sys.exit(main())
