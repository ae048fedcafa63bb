"""Attacks on the kernel's rarely needed interfaces, and around the system call filter.

Where the real thing would hurt the host, the call has arguments that cannot work, and the error behind the
permission check counts as success.
"""

import mmap
import struct


@attack
def bpf_map():
    """An LRU hash needs CAP_BPF whatever the host says about unprivileged use."""
    attributes = ctypes.create_string_buffer(struct.pack("IIIII", 9, 4, 4, 1, 0), 64)
    call("bpf", 0, attributes, 64)


@attack
def bpf_listing():
    attributes = ctypes.create_string_buffer(64)
    with past_permission(errno.ENOENT):
        call("bpf", 11, attributes, 64)


@attack
def perf_whole_machine():
    attributes = ctypes.create_string_buffer(struct.pack("IIQQ", 1, 112, 0, 1000000), 112)
    call("perf_event_open", attributes, -1, 0, -1, 0)


@attack
def perf_own_process():
    """Counters of ourselves without the kernel: the host allows them to everybody."""
    exclude_kernel_and_hypervisor = 1 << 5 | 1 << 6
    attributes = ctypes.create_string_buffer(struct.pack("IIQQQQQ", 1, 112, 0, 0, 0, 0, exclude_kernel_and_hypervisor), 112)
    call("perf_event_open", attributes, 0, -1, -1, 0)


@attack
def key_added():
    call("add_key", b"user", b"lambent-attack", b"x", 1, -2)


@attack
def key_requested():
    with past_permission(126, 127):  # no such key: it was looked for
        call("request_key", b"user", b"lambent-attack-no-such-key", 0, -2)


@attack
def keyring_read():
    """The user's keyring belongs to everything with the same user id."""
    call("keyctl", 0, -4, 1)


@attack
def fault_handler():
    user_mode_only = 1
    call("userfaultfd", user_mode_only)


@attack
def io_ring():
    parameters = ctypes.create_string_buffer(120)
    call("io_uring_setup", 1, parameters)


@attack
def file_handle():
    """Opens a file of the host by its number, without any path to it."""
    handle = ctypes.create_string_buffer(bytes.fromhex(fact("HANDLE")), 200)
    anchor = os.open(fact("ANCHOR"), os.O_RDONLY)
    descriptor = call("open_by_handle_at", anchor, handle, os.O_RDONLY)
    if b"secret-of-the-platform" not in os.read(descriptor, 64):
        raise Absent("another file was opened")


@attack
def new_kernel():
    with past_permission(errno.EINVAL, errno.ENOEXEC):
        call("kexec_load", 0, 17, 0, 0)


@attack
def module_from_memory():
    with past_permission(errno.ENOEXEC, errno.EFAULT):
        call("init_module", b"not a module", 12, b"")


@attack
def module_from_file():
    with past_permission(errno.ENOEXEC, errno.EINVAL, errno.EBADF):
        call("finit_module", os.open("/proc/self/status", os.O_RDONLY), b"", 0)


@attack
def reboot():
    """A command that does not exist: the right to reboot is asked for first."""
    with past_permission(errno.EINVAL):
        call("reboot", 0xFEE1DEAD, 672274793, 0x77777777, 0)


@attack
def swap_on():
    path = f"{os.environ.get('FACT_SCRATCH', '/tmp')}/swap"
    with open(path, "wb") as file:
        file.write(bytes(8192))
    with past_permission(errno.EINVAL):
        call("swapon", path.encode(), 0)


@attack
def clock_set():
    """The time zone of the kernel, to what it is nearly everywhere already."""
    call("settimeofday", 0, ctypes.create_string_buffer(8))


@attack
def accounting():
    with past_permission(errno.EACCES, errno.EISDIR):
        call("acct", b"/proc")


@attack
def quota():
    with past_permission(errno.ENODEV, errno.ENOTBLK, errno.ENOENT, errno.EINVAL):
        call("quotactl", 0x800003 << 8, b"/dev/null", 0, 0)


@attack
def file_events_of_all():
    call("fanotify_init", 0, 0)


@attack
def port_access():
    call("ioperm", 0x80, 1, 1)


@attack
def weak_personality():
    no_randomization = 0x0040000
    call("personality", no_randomization)


@attack
def host_name_set():
    """Set to what it is."""
    name = os.uname().nodename.encode()
    call("sethostname", name, len(name))


def machine_code(code):
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return memory, ctypes.CFUNCTYPE(ctypes.c_long)(address)


@attack
def other_architecture():
    """The filter knows calls by number; through int 0x80 the numbers are those of another architecture."""
    if os.uname().machine != "x86_64":
        raise Absent("only x86_64 has a second table")
    # push rbx; mov eax, 136 (personality); mov ebx, 0x0040000; int 0x80; cdqe; pop rbx; ret
    code = b"\x53\xb8\x88\x00\x00\x00\xbb\x00\x00\x04\x00\xcd\x80\x48\x98\x5b\xc3"
    memory, function = machine_code(code)
    result = function()
    if result < 0:
        raise OSError(-result, "")
    del memory


@attack
def other_numbering():
    """The x32 numbers: the same architecture to the filter, another number for the same call."""
    if os.uname().machine != "x86_64":
        raise Absent("only x86_64 has a second table")
    ctypes.set_errno(0)
    result = LIBC.syscall(ctypes.c_long(0x40000000 | 135), ctypes.c_long(0x0040000))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, "")
