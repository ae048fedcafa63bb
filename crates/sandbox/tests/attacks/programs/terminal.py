"""Attacks on a terminal that leaked in as descriptor 3: characters pushed in as if typed by the operator."""

import fcntl
import termios


@attack
def typed_for_the_operator():
    """Makes the terminal its own first, which a session leader without one may."""
    try:
        fcntl.ioctl(3, termios.TIOCSCTTY, 0)
    except OSError:
        pass
    try:
        fcntl.ioctl(3, termios.TIOCSTI, b"x")
    except OSError as error:
        if error.errno == errno.EIO:
            raise Absent("dev.tty.legacy_tiocsti is 0")
        raise


@attack
def pasted_for_the_operator():
    """TIOCLINUX, the other way to the same end; ENOTTY means that it came through to the terminal."""
    with past_permission(errno.ENOTTY, errno.EINVAL):
        fcntl.ioctl(3, 0x541C, b"\x03")
