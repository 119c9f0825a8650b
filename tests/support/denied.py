"""Runs a command in which the io_uring system calls fail with EPERM, as the default seccomp profiles of Docker,
containerd and Kubernetes make them fail:  denied.py COMMAND [ARG ...]

The process becomes the command (exec), so its pid, signals and exit code are the command's own.
"""

import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LD_WORD_ABS, JEQ, JGE, RET = 0x20, 0x15, 0x35, 0x06  # BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_RET|K
ALLOW, ERRNO, KILL_PROCESS = 0x7FFF0000, 0x00050000, 0x80000000
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
# io_uring_setup, _enter, _register have the same numbers on every architecture.
FIRST, AFTER = 425, 428
EPERM = 1


def program(machine: str) -> bytes:
    """The filter as `struct sock_filter` records; offsets 0 and 4 of `struct seccomp_data` are `nr` and `arch`."""
    records = [
        (LD_WORD_ABS, 0, 0, 4),
        (JEQ, 1, 0, AUDIT_ARCH[machine]),
        (RET, 0, 0, KILL_PROCESS),
        (LD_WORD_ABS, 0, 0, 0),
        (JGE, 0, 2, FIRST),
        (JGE, 1, 0, AFTER),
        (RET, 0, 0, ERRNO | EPERM),
        (RET, 0, 0, ALLOW),
    ]
    return b"".join(struct.pack("HBBI", *record) for record in records)


def deny() -> None:
    """Installs the filter in the calling thread, for good."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = program(os.uname().machine)
    text = ctypes.create_string_buffer(code, len(code))

    class SockFprog(ctypes.Structure):
        _fields_ = [("len", ctypes.c_ushort), ("filter", ctypes.c_void_p)]

    prog = SockFprog(len(code) // 8, ctypes.addressof(text))
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(prog), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


def io_uring_error() -> int:
    """0 where this process may use io_uring, else the errno of io_uring_setup (a bad argument is proof of access)."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(FIRST, 0, None)
    errno = ctypes.get_errno()
    return 0 if errno in (14, 22) else errno  # EFAULT, EINVAL: the kernel looked at the arguments


if __name__ == "__main__":
    if sys.argv[1:] == ["--probe"]:
        sys.exit(io_uring_error())
    deny()
    if (errno := io_uring_error()) != EPERM:
        sys.exit(f"denied.py: io_uring_setup gives errno {errno}, not EPERM: the filter does not work here")
    os.execvp(sys.argv[1], sys.argv[1:])
