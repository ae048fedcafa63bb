"""Attacks on the composed root: mount, unmount, remount, write, and the two ways out by a root directory.

FACT_OPEN is a directory that everybody may write to, were it not mounted read-only; FACT_SYSTEM a file of
the read-only system; FACT_MARKER a file at the host's own root that nobody inside may ever see.
"""

READ_ONLY, REMOUNT, BIND, DETACH = 1, 32, 4096, 2


def mount(source, target, kind, flags, data=None):
    text = [word.encode() if word else None for word in (source, target, kind, data)]
    call("mount", text[0], text[1], text[2], flags, text[3])


def unused(directory):
    return f"{fact(directory)}/attack-{os.urandom(4).hex()}"


def workplace(name):
    path = f"{os.environ.get('FACT_SCRATCH', '/tmp')}/{name}"
    os.makedirs(path, exist_ok=True)
    return path


@attack
def mount_new():
    mount("none", workplace("mounted"), "tmpfs", 0)


@attack
def mount_bind():
    mount("/usr", workplace("bound"), None, BIND)


@attack
def mount_proc():
    """A second proc without what is masked in the first."""
    mount("proc", workplace("proc"), "proc", 0)


@attack
def mount_new_interface():
    call("fsopen", b"tmpfs", 0)


@attack
def mount_tree_copy():
    open_tree_clone = 1
    call("open_tree", CURRENT_DIRECTORY, b"/usr", open_tree_clone)


@attack
def mount_tree_with_attributes():
    """Younger than the tables of the filter, so that no list can name it: such calls do not exist."""
    open_tree_clone = 1
    attributes = (ctypes.c_ulong * 4)(READ_ONLY, 0, 0, 0)
    call("open_tree_attr", CURRENT_DIRECTORY, b"/usr", open_tree_clone, ctypes.byref(attributes), 32)


@attack
def unmount_system():
    call("umount2", b"/usr", DETACH)


@attack
def unmount_proc():
    call("umount2", b"/proc", DETACH)


@attack
def remount_code():
    mount("none", fact("OPEN"), None, REMOUNT | BIND)
    os.close(os.open(unused("OPEN"), os.O_CREAT | os.O_WRONLY, 0o600))


@attack
def remount_root():
    mount("none", "/", None, REMOUNT | BIND)


@attack
def remount_attributes():
    attributes = (ctypes.c_ulong * 4)(0, READ_ONLY, 0, 0)
    call("mount_setattr", CURRENT_DIRECTORY, fact("OPEN").encode(), 0, ctypes.byref(attributes), 32)


@attack
def write_code():
    os.close(os.open(unused("OPEN"), os.O_CREAT | os.O_WRONLY, 0o600))


@attack
def write_system():
    """Opened for writing, and left as it is."""
    os.close(os.open(fact("SYSTEM"), os.O_WRONLY))


@attack
def write_root():
    name = "/lambent-attack-writes-the-root"
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600))
    os.unlink(name)


@attack
def write_core_pattern():
    """The host's core pattern names a program run as root; the same text is written back."""
    with open("/proc/sys/kernel/core_pattern", "r+b", buffering=0) as file:
        text = file.read()
        file.seek(0)
        file.write(text)


@attack
def write_sysrq():
    os.close(os.open("/proc/sysrq-trigger", os.O_WRONLY))


@attack
def read_timers():
    with open("/proc/timer_list", "rb") as file:
        if not file.read(16):
            raise Refused("empty")


@attack
def pivot():
    call("pivot_root", b"/tmp", b"/tmp")


@attack
def chroot_escape():
    """The classic: a root directory set below the working directory no longer holds it."""
    jail, below = workplace("jail"), workplace("jail/below")
    call("chroot", jail.encode())
    outside = os.open("/", os.O_RDONLY)
    call("chroot", b"/below")
    os.fchdir(outside)
    for _ in range(64):
        os.chdir("..")
    call("chroot", b".")
    os.close(os.open(fact("MARKER"), os.O_RDONLY))
