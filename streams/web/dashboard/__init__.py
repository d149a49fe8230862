"""The dashboard: what the lines do, live, and every picture behind a number."""
