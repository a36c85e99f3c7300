"""Turns triggers into tasks in the hands of the right person."""
