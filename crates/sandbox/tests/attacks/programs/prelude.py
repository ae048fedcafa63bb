"""Put in front of every attack program. It is not an attack itself.

A program registers attacks by name; the variable ATTACK chooses one, FACT_* say where the target is.
The last line written is the verdict, so that "refused" and "there was nothing to attack" never look alike:

    verdict: succeeded <what was done>
    verdict: refused <errno or word>
    verdict: absent <errno or word>      the target cannot be named from here, or this kernel lacks the call
"""

import ctypes
import errno
import os
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
CURRENT_DIRECTORY = -100

# name: (x86_64, aarch64); None: the machine has no such call.
NUMBERS = {
    "acct": (163, 89), "add_key": (248, 217), "bpf": (321, 280), "chroot": (161, 51), "clone": (56, 220),
    "clone3": (435, 435), "fanotify_init": (300, 262), "finit_module": (313, 273), "fsopen": (430, 430),
    "getpid": (39, 172), "init_module": (175, 105), "io_uring_setup": (425, 425), "ioperm": (173, None),
    "kcmp": (312, 272), "kexec_load": (246, 104), "keyctl": (250, 219), "mount": (165, 40),
    "mount_setattr": (442, 442), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "open_tree": (428, 428), "open_tree_attr": (467, 467), "perf_event_open": (298, 241), "personality": (135, 92),
    "pidfd_getfd": (438, 438), "pidfd_open": (434, 434), "pivot_root": (155, 41),
    "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117),
    "quotactl": (179, 60), "reboot": (169, 142), "request_key": (249, 218), "sethostname": (170, 161),
    "setns": (308, 268), "settimeofday": (164, 170), "swapon": (167, 224), "syslog": (103, 116),
    "umount2": (166, 39), "unshare": (272, 97), "userfaultfd": (323, 282),
}
NOT_THERE = {errno.ENOENT, errno.ESRCH, errno.ENOSYS, errno.ENXIO, errno.ENODEV, errno.EAFNOSUPPORT,
             errno.EPROTONOSUPPORT}
ATTACKS = {}


class Absent(Exception):
    """The target is not there to be attacked."""


class Refused(Exception):
    """Something other than an error number says no."""


def attack(function):
    """Registers an attack under the function's name."""
    ATTACKS[function.__name__] = function
    return function


def fact(name):
    """What the harness says about the target."""
    return os.environ["FACT_" + name]


def call(name, *arguments):
    """A system call by number; raises OSError."""
    number = NUMBERS[name][os.uname().machine == "aarch64"]
    if number is None:
        raise Absent("no such call on this machine")
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(number), *words)
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def past_permission(*expected):
    """Runs a call with arguments that cannot work: one of the expected errors means that it was permitted."""
    class Expect:
        def __enter__(self):
            return self

        def __exit__(self, kind, error, trace):
            return isinstance(error, OSError) and error.errno in expected
    return Expect()


def say(verdict, word):
    sys.stdout.flush()
    os.write(1, f"\nverdict: {verdict} {word}\n".encode())


def main():
    name = os.environ["ATTACK"]
    try:
        done = ATTACKS[name]()
        say("succeeded", done or name)
    except Absent as what:
        say("absent", what)
    except Refused as what:
        say("refused", what)
    except OSError as error:
        word = errno.errorcode.get(error.errno, str(error.errno))
        say("absent" if error.errno in NOT_THERE else "refused", word)
