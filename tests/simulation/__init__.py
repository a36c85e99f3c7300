"""The whole pipeline in one deterministic event loop: its real workers on a simulated log, disk and network."""
