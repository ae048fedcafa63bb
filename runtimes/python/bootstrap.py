"""Starts the Python shim. With `--run FILE [ARGUMENT...]` it runs a program of its own instead; with
`--standby` it waits to be told which function it is for.

This file holds no logic: a script is compiled anew at every start, a package is not.
"""

import sys

if __name__ == "__main__":
    # Our package is imported under a private name, and our directory then leaves the search path, so
    # that no module of ours can hide one of the user's.
    directory = __file__.rpartition("/")[0] or "."
    sys.path[:] = [directory, *(entry for entry in sys.path if entry not in ("", directory))]
    if sys.argv[1:2] == ["--run"]:
        from _lambent.launcher import main
    elif sys.argv[1:2] == ["--standby"]:
        from _lambent.standby import main
    else:
        from _lambent.shim import main
    sys.path.remove(directory)
    main()
