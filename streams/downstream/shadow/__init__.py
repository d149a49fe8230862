"""What another model would have said of the frames that a line decides about."""
