"""Where the defects of rejected frames lie: a second stage, off the verdict's path."""
