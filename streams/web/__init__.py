"""Pages for people: the rework station, the dashboard, and the shell that both stand in."""
