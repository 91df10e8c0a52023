"""The few calls of libbpf that the fast path needs, by ctypes.

libbpf is the kernel's own loader: one small library, no compiler at run time. Objects stand for
its handles, and errors are OSErrors with the name of the call.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
from pathlib import Path

_LIBRARY = "libbpf.so.1"
_INGRESS = 1
_REPLACE = 1
_HANDLE = _PRIORITY = 0x7678  # ours among the filters that others may have there


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
    library.libbpf_set_print(None)  # it would write to stderr by itself
    return library


def _hook(ifindex: int) -> tuple[_TcHook, _TcOptions]:
    hook = _TcHook(ctypes.sizeof(_TcHook), ifindex, _INGRESS)
    return hook, _TcOptions(ctypes.sizeof(_TcOptions), handle=_HANDLE, priority=_PRIORITY)


def detach_leftovers(ifindices: list[int]) -> None:
    """Detach what a program of ours that died has left attached."""
    try:
        library = load_library()
    except OSError:
        return  # without the library nothing was ever attached
    for ifindex in ifindices:
        hook, options = _hook(ifindex)
        library.bpf_tc_detach(ctypes.byref(hook), ctypes.byref(options))


class Program:
    """One compiled object: its maps and programs, and where they are attached."""

    def __init__(self, path: Path, sizes: dict[str, int]) -> None:
        """Load it into the kernel, its maps with so many entries; OSError says what failed."""
        self._library = load_library()
        self._object = self._library.bpf_object__open_file(str(path).encode(), None)
        if not self._object:
            self._fail(f"open {path.name}", -ctypes.get_errno())
        self._hooks: list[tuple[int, bool]] = []
        for name, entries in sizes.items():
            found = self._map(name)
            self._check(f"size of {name}", self._library.bpf_map__set_max_entries(found, entries))
        self._check("load", self._library.bpf_object__load(self._object))

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
        """The values of a map, as memory shared with the kernel."""
        fd = self._library.bpf_map__fd(self._map(name))
        pages = -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
        return mmap.mmap(fd, pages, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    def attach(self, name: str, ifindex: int) -> None:
        """Run a program on all that an interface receives, in place of what ran there as ours."""
        found = self._library.bpf_object__find_program_by_name(self._object, name.encode())
        hook, options = _hook(ifindex)
        created = self._library.bpf_tc_hook_create(ctypes.byref(hook))
        if created not in (0, -errno.EEXIST):
            self._fail("attach (clsact)", created)
        options.prog_fd = self._library.bpf_program__fd(found)
        options.flags = _REPLACE
        attached = self._library.bpf_tc_attach(ctypes.byref(hook), ctypes.byref(options))
        self._check(f"attach {name}", attached)
        self._hooks.append((ifindex, created == 0))

    def close(self) -> None:
        """Detach everything and let go of the maps."""
        for ifindex, created in self._hooks:
            hook, options = _hook(ifindex)
            self._library.bpf_tc_detach(ctypes.byref(hook), ctypes.byref(options))
            if created:
                self._library.bpf_tc_hook_destroy(ctypes.byref(hook))
        self._hooks.clear()
        self._library.bpf_object__close(self._object)
