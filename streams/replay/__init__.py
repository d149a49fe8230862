"""History judged again: ranges, runs, comparison."""
