"""Attacks on another sandbox: its code, environment, memory, /tmp and processes.

FACT_VICTIM is the victim's process id on the host, FACT_CODE its code on the host, FACT_ADDRESS where its
secret lies in its memory. Every secret begins with the same word, so a wrong read is not taken for one.
"""


def expect_secret(data):
    if b"secret-of-the-victim" not in data:
        raise Absent("something else was read")


def read(path):
    with open(path, "rb", buffering=0) as file:
        expect_secret(file.read(1 << 20))


@attack
def sibling_code():
    read(fact("CODE"))


@attack
def sibling_environment():
    read(f"/proc/{fact('VICTIM')}/environ")


@attack
def sibling_tmp():
    read(f"/proc/{fact('VICTIM')}/root/tmp/secret")


@attack
def sibling_root():
    read(f"/proc/{fact('VICTIM')}/root/var/task/secret")


@attack
def sibling_working_directory():
    read(f"/proc/{fact('VICTIM')}/cwd/tmp/secret")


@attack
def sibling_memory_file():
    with open(f"/proc/{fact('VICTIM')}/mem", "rb", buffering=0) as file:
        file.seek(int(fact("ADDRESS")))
        expect_secret(file.read(64))


class Vector(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("length", ctypes.c_size_t)]


@attack
def sibling_memory_call():
    buffer = ctypes.create_string_buffer(64)
    here = Vector(ctypes.addressof(buffer), 64)
    there = Vector(int(fact("ADDRESS")), 64)
    call("process_vm_readv", int(fact("VICTIM")), ctypes.byref(here), 1, ctypes.byref(there), 1, 0)
    expect_secret(buffer.raw)


@attack
def sibling_memory_write():
    buffer = ctypes.create_string_buffer(b"secret-of-the-victim")
    here = Vector(ctypes.addressof(buffer), 20)
    there = Vector(int(fact("ADDRESS")), 20)
    call("process_vm_writev", int(fact("VICTIM")), ctypes.byref(here), 1, ctypes.byref(there), 1, 0)


@attack
def sibling_trace():
    seize, interrupt = 0x4206, 0
    call("ptrace", seize, int(fact("VICTIM")), 0, interrupt)


@attack
def sibling_signal():
    os.kill(int(fact("VICTIM")), 18)  # SIGCONT: delivered for real, and harmless


@attack
def sibling_descriptor():
    process = call("pidfd_open", int(fact("VICTIM")), 0)
    call("pidfd_getfd", process, 1, 0)


@attack
def sibling_compared():
    call("kcmp", os.getpid(), int(fact("VICTIM")), 1, 0, 0)


@attack
def sibling_listed():
    """Finds the victim by what it is called: no process id is given."""
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    if b"the-victim-" + b"runs" in file.read():
                        return
            except OSError:
                continue
    raise Absent("not in /proc")
