"""Folds events into days and streaks, and tells when use stopped."""
