"""Attacks on the platform and the host: data directory, sockets, processes, devices, names.

FACT_DATA is a file like the database in a directory of mode 0700, FACT_SOCKET a Unix socket, FACT_ABSTRACT
an abstract one, FACT_PORT a TCP listener on the host's loopback, FACT_PROCESS a process of the host with the
platform's user id, FACT_KEY a System V segment.
"""

import fcntl
import socket
import struct


@attack
def platform_data():
    with open(fact("DATA"), "rb") as file:
        file.read(1)


@attack
def platform_directory():
    os.listdir(fact("DIRECTORY"))


@attack
def platform_socket():
    client = socket.socket(socket.AF_UNIX)
    client.connect(fact("SOCKET"))


@attack
def platform_abstract_socket():
    client = socket.socket(socket.AF_UNIX)
    client.connect("\0" + fact("ABSTRACT"))


@attack
def platform_loopback():
    client = socket.socket()
    client.settimeout(5)
    client.connect(("127.0.0.1", int(fact("PORT"))))


@attack
def host_interfaces():
    """Interfaces that are up; kernels put dead tunnel devices into every namespace."""
    get_flags, up = 0x8913, 1
    for _, name in socket.if_nameindex():
        answer = fcntl.ioctl(socket.socket(), get_flags, struct.pack("16sh14x", name.encode(), 0))
        if name != "lo" and struct.unpack_from("16sh", answer)[1] & up:
            return
    raise Absent("only lo")


@attack
def host_listeners():
    port = f":{int(fact('PORT')):04X} "
    with open("/proc/net/tcp") as file:
        if port not in file.read():
            raise Absent("not in /proc/net/tcp")


@attack
def host_process_command():
    with open(f"/proc/{fact('PROCESS')}/cmdline", "rb") as file:
        file.read()


@attack
def host_process_environment():
    with open(f"/proc/{fact('PROCESS')}/environ", "rb") as file:
        file.read()


@attack
def host_process_root():
    os.listdir(f"/proc/{fact('PROCESS')}/root/")


@attack
def host_process_signal():
    os.kill(int(fact("PROCESS")), 18)


@attack
def host_process_handle():
    call("pidfd_open", int(fact("PROCESS")), 0)


@attack
def broker_environment():
    with open(f"/proc/{fact('BROKER')}/environ", "rb") as file:
        file.read()


@attack
def broker_descriptors():
    os.readlink(f"/proc/{fact('BROKER')}/fd/0")


@attack
def broker_signal():
    os.kill(int(fact("BROKER")), 18)


@attack
def broker_trace():
    call("ptrace", 0x4206, int(fact("BROKER")), 0, 0)


@attack
def host_disk():
    os.close(os.open(fact("DISK"), os.O_RDONLY))


@attack
def host_loop_control():
    os.close(os.open("/dev/loop-control", os.O_RDWR))


@attack
def host_kernel_messages():
    """How much is unread: asking takes the right to read, whatever dmesg_restrict says."""
    size_unread = 9
    call("syslog", size_unread, 0, 0)


@attack
def host_kernel_directory():
    os.listdir("/sys/kernel")


@attack
def host_shadow():
    os.close(os.open("/etc/shadow", os.O_RDONLY))


@attack
def host_name():
    if os.uname().nodename != fact("HOST"):
        raise Absent("another name is shown")


@attack
def host_shared_memory():
    if LIBC.shmget(int(fact("KEY")), 1, 0) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


@attack
def host_control_group_path():
    with open("/proc/self/cgroup") as file:
        if "lambent-" not in file.read():
            raise Absent("the path begins at our own")
