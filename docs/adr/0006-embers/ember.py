"""The ember of the spike: runs init, then forks instances as ordered. argv: site directory, payload, mode.

An order is a packet of letters with descriptors, the frames first:
u own user and mount namespace (A); l Landlock; r reseed; t joins control groups by itself; i own listener over
the inherited one; s says when it is ready.
"""
import ctypes, gc, os, signal, socket, struct, sys, time
from array import array
sys.path.insert(0, sys.argv[1])
now = time.monotonic_ns
libc = ctypes.PyDLL(None, use_errno=True)
control = socket.socket(fileno=3)

def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

def payload(name):
    if name == "handler":
        return lambda: b"{}"
    if name == "flask":
        import flask, io, encodings.idna  # which the first request imports
        app = flask.Flask("app")
        app.route("/")(lambda: "hello")
        app.url_map.update()  # which the first request does
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SERVER_NAME": "x", "SERVER_PORT": "80", "QUERY_STRING": "",
                   "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr, "wsgi.url_scheme": "http"}
        return lambda: b"".join(app(environ.copy(), lambda status, headers: None))
    import numpy, pandas
    return lambda: str(pandas.DataFrame({"a": numpy.arange(3)}).a.sum()).encode()

def own_namespaces(frames):
    checked(libc.unshare(0x10000000 | 0x20000))
    libc.prctl(4, 1, 0, 0, 0)  # else the files below belong to the host's root
    for name, text in (("setgroups", "deny"), ("uid_map", "1000 1000 1"), ("gid_map", "1000 1000 1")):
        with open("/proc/self/" + name, "w") as file:
            file.write(text)
    libc.prctl(4, 0, 0, 0, 0)
    frames.send(b"m")
    frames.recv(1)
    checked(libc.syscall(126, (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()))  # no capability

def born(order, descriptors, begun):
    times, frames = [begun, now()], socket.socket(fileno=descriptors[0])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if b"i" in order:
        os.dup2(descriptors[-1], listener.fileno())
    for descriptor in descriptors[1:5] if b"t" in order else ():
        os.write(descriptor, b"0")
    times.append(now())
    if b"u" in order:
        own_namespaces(frames)
    times.append(now())
    if b"l" in order:
        checked(libc.syscall(446, rules, 0))  # the same rules make a new domain each time
    times.append(now())
    for name in ("random", "numpy.random") if b"r" in order else ():
        if name in sys.modules:
            sys.modules[name].seed()
    os.closerange(descriptors[0] + 1, 64)
    times.append(now())
    if b"s" in order:
        frames.send(b"r")
    while frames.recv(1):
        got = now()
        body = answer()
        frames.send(struct.pack("8q", *times, got, now()) + body)

rules = checked(libc.syscall(444, (ctypes.c_uint64 * 3)(0, 0, 3), 24, 0))  # scopes: abstract sockets, signals
answer = payload(sys.argv[2])
if sys.argv[3] == "once":  # bare: no ember, the request waits in the frames
    born(b"", [4], now())
    sys.exit()
listener = socket.socket()
listener.bind(("127.0.0.1", 5000))
signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the spike reads no exit status
gc.collect()
gc.freeze()
control.send(b"ready")
while True:
    order, ancillary, _, _ = control.recvmsg(64, 256)
    if not order:
        break
    begun = now()
    descriptors = array("i", b"".join(data for _, _, data in ancillary))
    if os.fork() == 0:
        control.close()
        born(order, descriptors, begun)
        os._exit(0)
    for descriptor in descriptors:
        os.close(descriptor)
