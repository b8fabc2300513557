"""Number of CPUs that this process may use; in a container, fewer than the machine has."""

import os
from pathlib import Path

CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus(cgroup: Path = CGROUP, cgroups: Path = CGROUPS) -> int:
    """Number of CPUs by affinity, or fewer if a control group (version 2) limits CPU time."""
    return max(1, min(affinity(), int(granted(cgroup, cgroups))))


def affinity() -> int:
    """The CPUs that the scheduler may put this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def granted(cgroup: Path, cgroups: Path) -> float:
    """CPU seconds per second that `cpu.max` allows our control group and its parents.

    Without a limit, the number of CPUs by affinity.
    """
    least = float(affinity())
    for folder in own_groups(cgroup, cgroups):
        limit = folder / "cpu.max"
        if limit.is_file():
            quota, period = limit.read_text(encoding="ascii").split()
            if quota != "max":
                least = min(least, int(quota) / int(period))
    return least


def own_groups(cgroup: Path, cgroups: Path) -> list[Path]:
    """The folders of our control group and its parents; none without version 2."""
    lines = cgroup.read_text(encoding="utf-8").splitlines() if cgroup.is_file() else []
    for line in lines:
        if line.startswith("0::/"):
            own = cgroups / line.removeprefix("0::/")
            return [own, *(each for each in own.parents if each.is_relative_to(cgroups))]
    return []
