"""Models that are new on a line, watched, and taken back where they do badly."""
