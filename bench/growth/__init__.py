"""How time and store grow with customers, events, partitions and processes."""
