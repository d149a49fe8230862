"""The rework station's page: a queue, a picture, two presses."""
