"""What a step process may use, as far as the kernel can hold it to that. The host watches the rest (watch.py)."""

import resource

from modelmill_worker import libc, processes

#: Native code maps more than it touches; the host ends a step long before it gets here.
_HEADROOM = 1 << 30


def forbid() -> None:
    """No core files and no new privileges. The latter binds this thread and those that it starts later."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc.forbid_new_privileges()


def limit_memory(memory_bytes: int) -> None:
    """A backstop for memory where a limit is given (0: none).

    The host measures resident memory every few milliseconds; a step that allocates faster than that meets
    RLIMIT_DATA instead. It counts what is mapped writable, the zygote's share included, so it stands well above.
    """
    if memory_bytes > 0:
        _lower(resource.RLIMIT_DATA, processes.own_data_size() + 2 * memory_bytes + _HEADROOM)


def _lower(limit: int, value: int) -> None:
    _, hard = resource.getrlimit(limit)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(limit, (value, value))
