"""Encodes ranges of users as Ray tasks, on all machines of the cluster."""

from collections.abc import Callable

from training.encoding.job import MODAL, EncodingJob
from training.encoding.kept_posts import keep_fresh
from training.encoding.shards import encode_range
from training.engine.ray_cluster import cause
from training.errors import RunFailed

MAX_RETRIES = 3


def encode_ranges(job: EncodingJob, progress: Callable[[str, int, int], None]) -> None:
    """Encode every range that has no file yet, one pass after the other.

    A task whose process dies is tried again, at most MAX_RETRIES times. Raises RunFailed.
    """
    import ray

    task = ray.remote(encode_range).options(max_retries=MAX_RETRIES, **resources(job.num_threads))
    for name in job.passes:
        left = job.missing(name)
        what = "encoding posts" if name == MODAL else f"encoding the graph, {name}"
        running = [task.remote(job, name, number) for number in left]
        done = job.num_ranges - len(left)
        while running:
            progress(what, done, job.num_ranges)
            finished, running = ray.wait(running)
            try:
                ray.get(finished)
            except ray.exceptions.RayError as error:
                raise RunFailed(
                    f"encoding into {job.folder} failed: {cause(error)}; the same command encodes "
                    "the missing ranges"
                ) from error
            done += len(finished)
        progress(what, job.num_ranges, job.num_ranges)
        if name == MODAL:
            keep_fresh(job)


def resources(num_threads: int) -> dict[str, float]:
    """Resources of a task: a GPU if the cluster has any, and one CPU for each thread.

    On a machine with fewer CPUs than threads it takes all CPUs.
    """
    import ray

    if ray.cluster_resources().get("GPU", 0):
        return {"num_cpus": 1, "num_gpus": 1}
    most = max(node["Resources"].get("CPU", 1) for node in ray.nodes() if node["Alive"])
    return {"num_cpus": min(num_threads, most)}
