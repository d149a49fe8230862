"""What follows from verdicts: parts, rework, statistics, samples; a pure core and a thin shell each."""
