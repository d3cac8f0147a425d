"""Fixtures of the tests on a real SLURM; they lie in a module of another name, which tests can import from."""

from conftest_slurm import data, nothing_is_left_in_the_queue, run, slurm, undisturbed

__all__ = ["data", "nothing_is_left_in_the_queue", "run", "slurm", "undisturbed"]
