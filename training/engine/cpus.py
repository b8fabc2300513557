"""How many CPUs this process may use, which in a container are fewer than the machine's."""

import os
from pathlib import Path

CGROUP = Path("/proc/self/cgroup")
CGROUPS = Path("/sys/fs/cgroup")


def usable_cpus(cgroup: Path = CGROUP, cgroups: Path = CGROUPS) -> int:
    """The CPUs of the affinity, or fewer where a control group (version 2) grants less time."""
    return max(1, min(affinity(), int(granted(cgroup, cgroups))))


def affinity() -> int:
    """The CPUs that the scheduler may put this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def granted(cgroup: Path, cgroups: Path) -> float:
    """CPU seconds a second that `cpu.max` grants our group and those that it lies in.

    As many as the affinity where there is no limit.
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
    """The folder of our control group and of all that it lies in; none without version 2."""
    lines = cgroup.read_text(encoding="utf-8").splitlines() if cgroup.is_file() else []
    for line in lines:
        if line.startswith("0::/"):
            own = cgroups / line.removeprefix("0::/")
            return [own, *(each for each in own.parents if each.is_relative_to(cgroups))]
    return []
