"""The three services and the command line that wires them."""
