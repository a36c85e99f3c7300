"""The brute-force oracle: what the pages say of days, streaks and stops, by the plainest means."""
