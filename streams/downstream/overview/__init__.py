"""What a dashboard shows: a fold of the derived topics, and the reader that feeds it."""
