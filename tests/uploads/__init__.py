"""Uploads: their rows, their service, their senders, their faults."""
