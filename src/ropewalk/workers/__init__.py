"""What drives the runs that are left to workers: `Worker` claims them, holds their leases, and hands them over."""

from ropewalk.workers.doctor import StuckRun, stuck_runs
from ropewalk.workers.driving import OnDrive, OnMismatch, Opening
from ropewalk.workers.worker import Worker

__all__ = ["OnDrive", "OnMismatch", "Opening", "StuckRun", "Worker", "stuck_runs"]
