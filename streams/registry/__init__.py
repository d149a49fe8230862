"""Released models: where they lie, and which may be named by recipes."""
