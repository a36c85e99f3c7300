"""The peers: what a team would take instead, each doing our job in its own idiom."""
