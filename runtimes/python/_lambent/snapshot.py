"""Runs the hooks of Lambda's `snapshot_restore_py`: before an ember is ready, and in each newborn.

Names and order are AWS's: before-snapshot hooks run once, the last registered first; after-restore hooks
in the order of their registration. They run only where init is shared; a process that was never an ember
runs none of them, as on AWS without SnapStart.
"""

import sys

from . import faults


def before():
    """Runs the before-snapshot hooks. Raises a `Fault`."""
    registered = _registered("get_before_snapshot")
    try:
        while registered:
            function, arguments, options = registered.pop()
            function(*arguments, **options)
    except Exception as error:
        raise _fault("Runtime.BeforeSnapshotError", error) from None


def after():
    """Runs the after-restore hooks. Raises a `Fault`."""
    try:
        for function, arguments, options in _registered("get_after_restore"):
            function(*arguments, **options)
    except Exception as error:
        raise _fault("Runtime.AfterRestoreError", error) from None


def _registered(name):
    # Ours, or the one in the user's package: whichever the user's code has imported.
    module = sys.modules.get("snapshot_restore_py")
    return getattr(module, name)() if module is not None else ()


def _fault(error_type, error):
    described = faults.describe(error)
    return faults.Fault(error_type, f"{described['error_type']}: {described['message']}", described["stack_trace"])
