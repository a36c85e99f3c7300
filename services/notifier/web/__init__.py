"""The inbox: pages rendered on the server, for CSMs."""
