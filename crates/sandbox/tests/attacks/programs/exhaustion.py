"""Attacks that use up: processes, memory, CPU, disk, descriptors. FACT_GOAL says how much is too much."""

import mmap
import resource
import signal
import socket
import threading
import time

GOAL = int(os.environ.get("FACT_GOAL", "0"))
SCRATCH = os.environ.get("FACT_SCRATCH", "/tmp")


@attack
def fork_bomb():
    children = []
    try:
        while len(children) < GOAL:
            child = os.fork()
            if child == 0:
                signal.pause()
                os._exit(0)
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return f"{len(children)} processes"


@attack
def thread_bomb():
    gate = threading.Event()
    threading.stack_size(64 << 10)
    try:
        for _ in range(GOAL):
            threading.Thread(target=gate.wait, daemon=True).start()
    except RuntimeError:
        raise Refused("EAGAIN")
    finally:
        gate.set()


@attack
def memory_bomb():
    blocks = []
    for _ in range(GOAL >> 20):
        block = mmap.mmap(-1, 1 << 20)
        for page in range(0, 1 << 20, 4096):
            block[page] = 1
        blocks.append(block)
    return f"{len(blocks)} MiB"


@attack
def memory_bomb_in_children():
    """The child dies, not the parent: the limit is the tree's, not the process's."""
    child = os.fork()
    if child == 0:
        memory_bomb()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        raise Refused("killed")


@attack
def shared_memory_fill():
    with open(f"/dev/shm/lambent-attack-{os.getpid()}", "wb") as file:
        os.unlink(file.name)
        for _ in range(GOAL >> 20):
            file.write(bytes(1 << 20))


@attack
def disk_fill():
    path = f"{SCRATCH}/lambent-attack-fill"
    written = 0
    try:
        with open(path, "wb", buffering=0) as file:
            while written < GOAL:
                written += file.write(bytes(1 << 20))
    finally:
        os.unlink(path)
        # Full too early or too late is neither a success nor a refusal.
        assert written >= GOAL or int(fact("ROOM")) / 2 < written <= int(fact("ROOM")), written


@attack
def file_count():
    path = f"{SCRATCH}/lambent-attack-count"
    os.makedirs(path)
    for number in range(GOAL):
        os.mknod(f"{path}/{number}")


@attack
def descriptor_flood():
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    kept = []
    for _ in range(GOAL):
        kept.append(os.open("/dev/null", os.O_RDONLY))


def burn(count, until):
    """Processes that compute on one processor until a moment, each a session of its own (else the kernel's
    automatic groups would make them share); what each has used, in thousandths of a second."""
    read, write = os.pipe()
    for number in range(count):
        if os.fork() == 0:
            os.setsid()
            if "FACT_PROCESSOR" in os.environ:
                os.sched_setaffinity(0, {int(fact("PROCESSOR"))})
            while time.monotonic() < until:
                pass
            spent = resource.getrusage(resource.RUSAGE_SELF)
            os.write(write, f"{number} {1000 * (spent.ru_utime + spent.ru_stime):.0f}\n".encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as lines:
        used = dict(map(int, line.split()) for line in lines)
    return [used[number] for number in range(count)]


@attack
def processor_hog():
    """Takes more than FACT_GOAL thousandths of a processor, for FACT_SECONDS."""
    seconds = float(fact("SECONDS"))
    used = sum(burn(int(fact("PROCESSES")), time.monotonic() + seconds)) / seconds
    if used <= GOAL:
        raise Refused("held back")


@attack
def processor_shared():
    """Many against one on one processor, FACT_SECONDS long, beginning when descriptor 3 says so."""
    sys.stdout.flush()
    os.read(3, 1)
    used = burn(int(fact("PROCESSES")), time.monotonic() + float(fact("SECONDS")))
    print("first", used[0], "all", sum(used))


@attack
def survivor():
    """A daemon that outlives the program: twice forked, own session, deaf to what can be ignored. It is
    found from outside by its name."""
    sys.stdout.flush()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in range(1, 32):
                if number not in (signal.SIGKILL, signal.SIGSTOP):
                    signal.signal(number, signal.SIG_IGN)
            null = os.open("/dev/null", os.O_RDWR)
            for number in (0, 1, 2):
                os.dup2(null, number)
            LIBC.prctl(15, fact("NAME").encode(), 0, 0, 0)
            time.sleep(int(fact("SECONDS")))
        os._exit(0)
    os.wait()


@attack
def listen_abuse():
    """Calls listen() on everything it should not be called on, from many threads, while sockets are closed."""
    def wrong():
        for number in list(range(64)) + [-1, 1 << 30, (1 << 31) - 1]:
            LIBC.listen(number, 1)
        LIBC.listen(socket.socket(socket.AF_INET, socket.SOCK_DGRAM).fileno(), 1)
        for _ in range(50):
            one = socket.socket()
            racer = threading.Thread(target=one.close)
            racer.start()
            LIBC.listen(one.fileno(), 1)
            racer.join()
    for delay in range(40):  # killed in the middle of a report
        child = os.fork()
        if child == 0:
            one = socket.socket()
            while True:
                LIBC.listen(one.fileno(), 1)
        time.sleep(delay / 10000)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    threads = [threading.Thread(target=wrong) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    local = socket.socket(socket.AF_UNIX)
    local.bind("\0lambent-attack")
    local.listen(1)
    last = socket.socket()
    last.bind(("127.0.0.1", 0))
    last.listen(1)
    socket.create_connection(last.getsockname(), 5)


@attack
def listen_flood():
    """Reports as fast as they are answered, from FACT_PROCESSES processes for FACT_SECONDS. The broker answers them
    on time that is not ours."""
    until = time.monotonic() + float(fact("SECONDS"))
    for _ in range(int(fact("PROCESSES"))):
        if os.fork() == 0:
            one = socket.socket()
            while time.monotonic() < until:
                LIBC.listen(one.fileno(), 1)
            os._exit(0)
    print("flooding", flush=True)
    try:
        while True:
            os.wait()
    except ChildProcessError:
        pass
