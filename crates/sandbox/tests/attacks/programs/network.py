"""Attacks through sockets that are more than TCP, UDP and Unix, and on the network's set-up."""

import fcntl
import socket
import struct

MULTIPATH = 262


@attack
def raw_socket():
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)


@attack
def raw_protocol_socket():
    """Any header, any protocol."""
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


@attack
def multipath_socket():
    socket.socket(socket.AF_INET, socket.SOCK_STREAM, MULTIPATH)


@attack
def multipath_socket_6():
    socket.socket(socket.AF_INET6, socket.SOCK_STREAM, MULTIPATH)


@attack
def partly_checked_socket():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_UDPLITE)


@attack
def association_socket():
    """Where the kernel has it as a module, asking loads it."""
    socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_SCTP)


@attack
def association_by_type():
    """The same without naming the protocol."""
    socket.socket(socket.AF_INET, socket.SOCK_SEQPACKET)


@attack
def ordinary_sockets():
    """No attack: every other one here would be refused by a filter that refuses too much."""
    for family in (socket.AF_INET, socket.AF_INET6):
        for kind, protocol in ((socket.SOCK_STREAM, socket.IPPROTO_TCP), (socket.SOCK_DGRAM, socket.IPPROTO_UDP)):
            socket.socket(family, kind).close()
            socket.socket(family, kind, protocol).close()
    socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


@attack
def packet_socket():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0x0300)


@attack
def machine_socket():
    """To the hypervisor, past every network namespace."""
    socket.socket(40, socket.SOCK_STREAM)


@attack
def crypto_socket():
    socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)


@attack
def firewall_socket():
    netfilter = 12
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, netfilter)


@attack
def route_added():
    """192.0.2.0/24 by the loopback interface, with a netlink message put together by hand."""
    netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
    netlink.bind((0, 0))
    loopback = socket.if_nametoindex("lo")
    route = struct.pack("BBBBBBBBI", socket.AF_INET, 24, 0, 0, 254, 4, 253, 1, 0)
    target = struct.pack("HH4s", 8, 1, socket.inet_aton("192.0.2.0"))
    link = struct.pack("HHI", 8, 4, loopback)
    body = route + target + link
    request_create_acknowledge = 0x1 | 0x400 | 0x4
    netlink.send(struct.pack("IHHII", 16 + len(body), 24, request_create_acknowledge, 1, 0) + body)
    error = -struct.unpack_from("i", netlink.recv(4096), 16)[0]
    if error:
        raise OSError(error, "")


@attack
def interface_down():
    set_flags = 0x8914
    request = struct.pack("16sh14x", b"lo", 0)
    fcntl.ioctl(socket.socket(), set_flags, request)
