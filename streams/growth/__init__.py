"""Adding partitions to all topics keyed by station, under load: `lineside topics --grow`."""
