"""Runs a command that must not outlive its parent: `python launch.py PARENT_PID COMMAND...`.

On Linux, the kernel kills the command when its parent ends, even by `kill -9`. Elsewhere the parent's own cleanup must
suffice.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, command = int(sys.argv[1]), sys.argv[2:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # the parent ended before the kernel knew
            sys.exit(1)
    os.execvp(command[0], command)
