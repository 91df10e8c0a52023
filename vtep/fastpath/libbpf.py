"""The few calls of libbpf that the fast path needs, by ctypes.

libbpf is the loader that is developed with the kernel: a small library, and no compiler is needed
at run time. A `Program` owns one libbpf object. Errors are OSErrors that name the failed call; a
program that the verifier rejects is a `Rejected`, which has the end of the verifier's log.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import re
from pathlib import Path

_LIBRARY = "libbpf.so.1"
_INGRESS = 1
_REPLACE = 1
_HANDLE = _PRIORITY = 0x7678  # identify our filter among those of other programs on the hook
# The log must fit. Kernels before 6.4 keep its beginning when it does not, and the reason is at its
# end; and the load then fails with ENOSPC instead of the verifier's own error.
_LOG_LENGTH = 1 << 24
_LOG_LINES = 12
# After the reason the verifier prints only these statistics.
_STATISTICS = re.compile(r"processed \d+ insns|verification time|stack depth|-- END")


class Rejected(OSError):
    """The kernel's verifier rejected a program.

    log: the last lines of the verifier's log, oldest first, without its statistics. The last line
    is the reason, the lines before it are the instructions that led there.
    """

    def __init__(self, number: int, program: str, log: tuple[str, ...]) -> None:
        reason = f"the verifier rejects the eBPF program {program}: {log[-1]}"
        super().__init__(number, reason)
        self.log = log


class _TcHook(ctypes.Structure):
    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("ifindex", ctypes.c_int),
        ("attach_point", ctypes.c_int),
        ("parent", ctypes.c_uint32),
    )


class _TcOptions(ctypes.Structure):
    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("prog_fd", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("handle", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
    )


_POINTER, _NUMBER, _TEXT = ctypes.c_void_p, ctypes.c_int, ctypes.c_char_p
_CALLS = {  # name -> (result, arguments)
    "libbpf_set_print": (_POINTER, (_POINTER,)),
    "bpf_object__open_file": (_POINTER, (_TEXT, _POINTER)),
    "bpf_object__load": (_NUMBER, (_POINTER,)),
    "bpf_object__close": (None, (_POINTER,)),
    "bpf_object__find_map_by_name": (_POINTER, (_POINTER, _TEXT)),
    "bpf_object__find_program_by_name": (_POINTER, (_POINTER, _TEXT)),
    "bpf_object__next_program": (_POINTER, (_POINTER, _POINTER)),
    "bpf_program__name": (_TEXT, (_POINTER,)),
    "bpf_program__set_log_buf": (_NUMBER, (_POINTER, _POINTER, ctypes.c_size_t)),
    "bpf_map__set_max_entries": (_NUMBER, (_POINTER, ctypes.c_uint32)),
    "bpf_map__fd": (_NUMBER, (_POINTER,)),
    "bpf_program__fd": (_NUMBER, (_POINTER,)),
    "bpf_tc_hook_create": (_NUMBER, (_POINTER,)),
    "bpf_tc_hook_destroy": (_NUMBER, (_POINTER,)),
    "bpf_tc_attach": (_NUMBER, (_POINTER, _POINTER)),
    "bpf_tc_detach": (_NUMBER, (_POINTER, _POINTER)),
}


def load_library() -> ctypes.CDLL:
    """The library, its calls declared; OSError if it is missing or too old."""
    library = ctypes.CDLL(_LIBRARY, use_errno=True)
    for name, (result, arguments) in _CALLS.items():
        try:
            call = getattr(library, name)
        except AttributeError:
            raise OSError(errno.ENOSYS, f"{_LIBRARY} is too old: it has no {name}") from None
        call.restype, call.argtypes = result, arguments
    library.libbpf_set_print(None)  # by default libbpf prints to stderr
    return library


def _hook(ifindex: int) -> tuple[_TcHook, _TcOptions]:
    hook = _TcHook(ctypes.sizeof(_TcHook), ifindex, _INGRESS)
    return hook, _TcOptions(ctypes.sizeof(_TcOptions), handle=_HANDLE, priority=_PRIORITY)


def detach_leftovers(ifindices: list[int]) -> None:
    """Detach the programs that an agent which was killed left on these interfaces."""
    try:
        library = load_library()
    except OSError:
        return  # without the library nothing was ever attached
    for ifindex in ifindices:
        hook, options = _hook(ifindex)
        library.bpf_tc_detach(ctypes.byref(hook), ctypes.byref(options))


class Program:
    """One compiled object: its maps and programs, and the interfaces they are attached to."""

    def __init__(self, path: Path, sizes: dict[str, int]) -> None:
        """Load an object file into the kernel. sizes: entries of each map, by its name.

        Raises Rejected if the verifier rejects a program, OSError with the failed call otherwise.
        """
        self._library = load_library()
        self._object = self._library.bpf_object__open_file(str(path).encode(), None)
        if not self._object:
            self._fail(f"open {path.name}", -ctypes.get_errno())
        self._hooks: list[tuple[int, bool]] = []  # ifindex, and whether we made the clsact there
        try:
            self._load(sizes)
        except OSError:
            self.close()
            raise

    def _load(self, sizes: dict[str, int]) -> None:
        for name, entries in sizes.items():
            found = self._map(name)
            self._check(f"size of {name}", self._library.bpf_map__set_max_entries(found, entries))
        logs = self._log_buffers()
        result = self._library.bpf_object__load(self._object)
        if result < 0:
            for name, buffer in logs:
                log = log_end(buffer)
                if log:
                    raise Rejected(-result, name, log)
        self._check("load", result)

    def _log_buffers(self) -> list[tuple[str, mmap.mmap]]:
        """A buffer for each program's verifier log, by the program's name.

        libbpf loads without a log first. If that fails it loads again with the buffer, so only the
        buffer of the rejected program is filled, and the pages of the others are never allocated.
        """
        logs, library = [], self._library
        found = library.bpf_object__next_program(self._object, None)
        while found:
            buffer = mmap.mmap(-1, _LOG_LENGTH)
            address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
            self._check("log buffer", library.bpf_program__set_log_buf(found, address, len(buffer)))
            logs.append((library.bpf_program__name(found).decode(), buffer))
            found = library.bpf_object__next_program(self._object, found)
        return logs

    def _fail(self, what: str, result: int) -> None:
        raise OSError(-result, f"{what}: {os.strerror(-result)}")

    def _check(self, what: str, result: int) -> None:
        if result < 0:
            self._fail(what, result)

    def _map(self, name: str) -> int:
        found = self._library.bpf_object__find_map_by_name(self._object, name.encode())
        if not found:
            self._fail(f"map {name}", -errno.ENOENT)
        return int(found)

    def memory(self, name: str, length: int) -> mmap.mmap:
        """The values of a map (at least `length` bytes), as memory shared with the kernel."""
        fd = self._library.bpf_map__fd(self._map(name))
        pages = -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
        return mmap.mmap(fd, pages, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def fd(self, name: str) -> int:
        """The file descriptor of a loaded program."""
        found = self._library.bpf_object__find_program_by_name(self._object, name.encode())
        if not found:
            self._fail(f"program {name}", -errno.ENOENT)
        return int(self._library.bpf_program__fd(found))

    def attach(self, name: str, ifindex: int) -> None:
        """Run a program on every packet that an interface receives.

        It replaces the program that an earlier agent attached there.
        """
        hook, options = _hook(ifindex)
        created = self._library.bpf_tc_hook_create(ctypes.byref(hook))
        if created not in (0, -errno.EEXIST):
            self._fail("attach (clsact)", created)
        options.prog_fd = self.fd(name)
        options.flags = _REPLACE
        attached = self._library.bpf_tc_attach(ctypes.byref(hook), ctypes.byref(options))
        self._check(f"attach {name}", attached)
        self._hooks.append((ifindex, created == 0))

    def close(self) -> None:
        """Detach the programs and release programs and maps."""
        for ifindex, created in self._hooks:
            hook, options = _hook(ifindex)
            self._library.bpf_tc_detach(ctypes.byref(hook), ctypes.byref(options))
            if created:
                self._library.bpf_tc_hook_destroy(ctypes.byref(hook))
        self._hooks.clear()
        self._library.bpf_object__close(self._object)


def log_end(buffer: mmap.mmap) -> tuple[str, ...]:
    """The last lines of a verifier log, up to the reason; empty if the log is empty."""
    text = buffer[: buffer.find(b"\0")].decode(errors="replace")
    lines = [line.rstrip() for line in text.splitlines() if line.strip()]
    return tuple(line for line in lines if not _STATISTICS.match(line))[-_LOG_LINES:]
