"""The ledger under the name that tests know it by; it lives in `streams/chaos`."""

from streams.chaos.ledger import Results, Sample
from streams.chaos.reading import read_all, results, sample_commits

__all__ = ["Results", "Sample", "read_all", "results", "sample_commits"]
