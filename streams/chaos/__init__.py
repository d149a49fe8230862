"""The fault suite: a real Kafka, real worker processes, faults that are caused, and promises that are measured."""
