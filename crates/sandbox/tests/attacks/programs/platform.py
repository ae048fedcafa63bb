"""Not an attack: stands for the platform on the host. It opens what attacks aim at, says where it is, and
takes it away when its standard input ends. Arguments: the scene's directory.

    platform/          0700: the data directory, with the database and a Unix socket
    code/              0777: the attacker's own code, mounted read-only at /var/task
    scratch/           0777: what stands for /tmp where the root layer is off
"""

import glob
import shutil
import socket
import stat
import struct

directory = sys.argv[1]
data, code, scratch = (f"{directory}/{name}" for name in ("platform", "code", "scratch"))
name_of_key = os.getpid() | 0x4C000000
owner_of_setuid = 0x20000001


def tell(name, value):
    print(name, value, flush=True)


def files():
    os.makedirs(f"{data}/victim", exist_ok=True)
    os.chmod(data, 0o700)
    for path in (code, scratch):
        os.makedirs(path)
        os.chmod(path, 0o777)
    for path, text in {
        f"{data}/lambent.db": "secret-of-the-platform",
        f"{data}/victim/secret": "secret-of-the-victim",
        f"{directory}/marker": "outside",
        f"{code}/anchor": "",
    }.items():
        with open(path, "w") as file:
            file.write(text)
    shutil.copy("/usr/bin/id", f"{code}/id")
    os.chown(f"{code}/id", owner_of_setuid, -1)
    os.chmod(f"{code}/id", 0o4755)
    shutil.copy("/usr/bin/cat", f"{code}/cat")
    net_raw = 1 << 13
    os.setxattr(f"{code}/cat", "security.capability", struct.pack("<5I", 0x02000001, net_raw, 0, 0, 0))


def handle():
    """The number of the database's file: an attacker would count through them."""
    buffer = ctypes.create_string_buffer(struct.pack("I", 128), 200)
    mount = ctypes.c_int()
    call("name_to_handle_at", CURRENT_DIRECTORY, f"{data}/lambent.db".encode(), buffer, ctypes.byref(mount), 0)
    return buffer.raw[: 8 + struct.unpack_from("I", buffer.raw)[0]].hex()


def disk():
    """A block device that this very process may open: on some hosts even root may not open the disk."""
    for path in sorted(glob.glob("/dev/*"), key=lambda path: "loop" in path):
        if stat.S_ISBLK(os.stat(path).st_mode):
            try:
                os.close(os.open(path, os.O_RDONLY))
                return path
            except OSError:
                continue
    raise Absent("no block device")


def listeners():
    kept = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX), socket.socket()]
    kept[0].bind(f"{data}/control")
    kept[1].bind(f"\0lambent-{os.getpid()}")
    kept[2].bind(("127.0.0.1", 0))
    for one in kept:
        one.listen(128)
    return kept


files()
kept = listeners()
segment = LIBC.shmget(name_of_key, 4096, 0o1666)
device = os.stat(disk()).st_rdev
tell("HANDLE", handle())
tell("DISK", disk())
tell("DEVICE", f"{os.major(device)}:{os.minor(device)}")
tell("ABSTRACT", f"lambent-{os.getpid()}")
tell("PORT", kept[2].getsockname()[1])
tell("KEY", name_of_key)
tell("OWNER", owner_of_setuid)
tell("PROCESS", os.getpid())
tell("HOST", os.uname().nodename)
tell("ready", "")
sys.stdin.read()
LIBC.shmctl(segment, 0, 0)
