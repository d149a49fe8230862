"""Rework: the queue of parts that people look at, and their decisions."""
