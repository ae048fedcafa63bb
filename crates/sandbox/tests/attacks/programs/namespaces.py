"""Attacks through namespaces: making new ones (in which one is all-powerful) and entering old ones."""

NEW_MOUNT, NEW_UTS, NEW_USER, NEW_NETWORK = 0x20000, 0x4000000, 0x10000000, 0x40000000
SIGCHLD = 17


@attack
def unshare_user():
    call("unshare", NEW_USER)


@attack
def unshare_mount():
    call("unshare", NEW_MOUNT)


@attack
def unshare_network():
    call("unshare", NEW_NETWORK)


@attack
def clone_user():
    if call("clone", NEW_USER | SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)
    os.wait()


@attack
def clone3_user():
    arguments = (ctypes.c_uint64 * 8)(NEW_USER, 0, 0, 0, SIGCHLD, 0, 0, 0)
    if call("clone3", ctypes.byref(arguments), 64) == 0:
        os._exit(0)
    os.wait()


@attack
def enter_own():
    """The namespaces we are in already: whoever may do this may set up others."""
    call("setns", os.open("/proc/self/ns/uts", os.O_RDONLY), NEW_UTS)


@attack
def enter_host_network():
    call("setns", os.open(f"/proc/{fact('PROCESS')}/ns/net", os.O_RDONLY), NEW_NETWORK)


@attack
def enter_sibling():
    call("setns", os.open(f"/proc/{fact('VICTIM')}/ns/mnt", os.O_RDONLY), NEW_MOUNT)


@attack
def enter_init_mounts():
    call("setns", os.open(f"/proc/{os.getppid()}/ns/mnt", os.O_RDONLY), NEW_MOUNT)
