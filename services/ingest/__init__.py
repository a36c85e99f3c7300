"""Turns whatever a product posts into events on the log."""
