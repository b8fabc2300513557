"""All passes of an encoding: in this process for one range of users, else on the Ray cluster.

Ray starts more slowly than one range is encoded.
"""

from pathlib import Path

from training.encoding.all_users import UserVectors
from training.encoding.job import MODAL, EncodingJob
from training.encoding.kept_posts import keep_fresh
from training.encoding.ray_tasks import encode_ranges
from training.encoding.shards import encode_range, join
from training.encoding.vectors_file import load_vectors
from training.engine.progress import Reporter
from training.engine.ray_cluster import ray_session


def encode(job: EncodingJob, path: Path, *, num_workers: int, reporter: Reporter) -> UserVectors:
    """The vectors of a job in a file, memory-mapped; what has a file is not encoded again.

    `num_workers` is the least number of CPUs of a Ray instance of our own. Raises RunFailed.
    """
    if not path.exists():
        if job.num_ranges > 1:
            with ray_session(num_workers, reporter.stop), reporter.stop.at_once():
                encode_ranges(job, reporter.counting)
        else:
            with reporter.stop.at_once():
                encode_here(job)
        join(job, path)
    return load_vectors(path, UserVectors)


def encode_here(job: EncodingJob) -> None:
    """Do every pass in this process."""
    for name in job.passes:
        for number in job.missing(name):
            encode_range(job, name, number)
        if name == MODAL:
            keep_fresh(job)
