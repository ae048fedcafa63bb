"""What the program inherits: only 0 to 3, none of them more than a pipe, /dev/null or a socket to us."""


@attack
def leftover_descriptors():
    directory = os.open("/proc/self/fd", os.O_RDONLY)
    found = [int(name) for name in os.listdir(directory) if int(name) not in (0, 1, 2, 3, directory)]
    open_still = []
    for number in found:
        try:
            os.fstat(number)
            open_still.append(number)
        except OSError:
            pass
    if not open_still:
        raise Absent("only 0 to 3")
    return f"{[os.readlink(f'/proc/self/fd/{number}') for number in open_still]}"
