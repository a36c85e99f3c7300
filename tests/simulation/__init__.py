"""The whole pipeline in one deterministic loop: its real workers on a simulated log, disk and network."""
