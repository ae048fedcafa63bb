"""Carries a running asyncio loop over a fork.

Possible where the loop is asyncio's own and runs the server's tasks alone: then nothing outside of it waits
for an event. What belongs to the process is made anew in the newborn: the selector (an epoll descriptor is
shared after a fork), the pair that wakes the loop, and the wakeup descriptor for signals.
"""

import sys

# Tasks of these run when they begin to listen; they wait for the end of the process.
_SERVERS = ("uvicorn", "hypercorn")


def running():
    """The loop that runs in this thread, or None. Does not import asyncio."""
    events = sys.modules.get("asyncio.events")
    return events._get_running_loop() if events is not None else None


def refusal(loop):
    """Why the loop cannot be carried over a fork, or None."""
    import asyncio

    if not isinstance(loop, asyncio.SelectorEventLoop) or not type(loop).__module__.startswith("asyncio."):
        return f"not forkable: its event loop is {type(loop).__module__}'s, which cannot be made anew"
    current = asyncio.current_task(loop)
    others = [task for task in asyncio.all_tasks(loop) if task is not current and not _is_servers(task)]
    if others:
        return f"not forkable: its event loop runs {len(others)} more task{'s' if len(others) > 1 else ''}"
    return None


def renew(loop):
    """Makes the loop this process's own. Called in a newborn, inside the loop's own step."""
    import asyncio
    import selectors
    import signal

    shared, loop._selector = loop._selector, selectors.DefaultSelector()
    for key in list(shared.get_map().values()):
        if key.fileobj != loop._ssock.fileno():
            loop._selector.register(key.fileobj, key.events, key.data)
    shared.close()
    loop._ssock.close()
    loop._csock.close()
    loop._internal_fds -= 1
    loop._make_self_pipe()
    asyncio._set_running_loop(loop)
    if loop._signal_handlers:
        signal.set_wakeup_fd(loop._csock.fileno())


def _is_servers(task):
    code = getattr(task.get_coro(), "cr_code", None)
    path = getattr(code, "co_filename", "").split("/")
    return any(name in path for name in _SERVERS)
