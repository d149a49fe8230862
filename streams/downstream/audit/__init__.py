"""The record of who changed what: entries tied by their hashes, written before the change happens."""
