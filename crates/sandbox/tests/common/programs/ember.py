"""An ember for tests: runs the code in INIT, says `ready`, forks as ordered. Its newborns run what comes over their
frames, a line of JSON text each, and answer with what it leaves in `answer`. HOSTILE names a step done wrongly."""
import array, ctypes, json, os, signal, socket, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)
hostile = os.environ.get("HOSTILE", "")


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def call(number, *arguments):
    return checked(libc.syscall(number, *(ctypes.c_long(one) if isinstance(one, int) else one for one in arguments)))


def serve(stream):
    held = {"checked": checked, "call": call, "libc": libc}
    for line in stream.makefile("r"):
        held["answer"] = None
        try:
            exec(json.loads(line), held)
        except BaseException as error:
            if isinstance(error, SystemExit):
                os._exit(error.code or 0)
            held["answer"] = f"{type(error).__name__}: {error}"
        stream.sendall((json.dumps(held["answer"]) + "\n").encode())


def born(order, descriptors):
    control.close()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    frames, output, hello = descriptors[:3]
    for number in (1, 2):
        os.dup2(output, number)
    os.dup2(frames, 3)
    if order["listener"]:
        os.dup2(descriptors[3], listener.fileno())
    if "OPEN" not in os.environ:
        call(446, rules, 0)
    os.chdir("/")
    os.environ.update(order["environment"])
    if hostile == "threads":
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    if hostile == "grandchild" and os.fork():
        time.sleep(60)
    if hostile == "silent":
        time.sleep(60)
    if hostile == "dies":
        os._exit(9)
    os.write(hello, b"h")
    for descriptor in [rules, *descriptors]:
        os.close(descriptor)
    serve(socket.socket(fileno=3))
    os._exit(0)


def reap(*_):
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def share(order, descriptors):
    """A newborn with the memory or the root of the ember, which stands still meanwhile or goes on."""
    flags = {"memory": 0x100, "files": 0x400, "root": 0x200}[hostile]
    if flags == 0x100:
        # With the memory shared and no stack of its own only a child that is waited for is safe: CLONE_VFORK.
        flags |= 0x4000
    pid = libc.syscall(56, flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        libc.write(descriptors[2], b"h", 1)
        libc.pause()
        libc._exit(0)


rules = call(444, (ctypes.c_uint64 * 3)(0, 0, 3), 24, 0) if "OPEN" not in os.environ else os.open("/dev/null", os.O_RDONLY)
exec(os.environ.get("INIT", ""))
control = socket.socket(fileno=int(os.environ["LAMBENT_EMBER_FD"]))
frames = socket.socket(fileno=3)
signal.signal(signal.SIGCHLD, reap)
frames.sendall(b"ready\n")
if hostile == "closes":
    time.sleep(0.3)
    control.close()
    time.sleep(60)
while True:
    packet, ancillary, _, _ = control.recvmsg(65536, 256, socket.MSG_CMSG_CLOEXEC)
    if not packet:
        sys.exit(0)
    descriptors = list(array.array("i", b"".join(data for _, _, data in ancillary)))
    order = json.loads(packet)
    if hostile == "own":
        os.write(descriptors[2], b"h")
    elif hostile in ("memory", "files", "root"):
        share(order, descriptors)
        if hostile == "files":
            continue
    elif hostile == "twice" and os.fork() == 0:
        time.sleep(60)
    elif os.fork() == 0:
        frames.detach()
        born(order, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
