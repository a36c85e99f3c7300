"""Which early habits split the customers who stayed from those who left; pure, but for the command itself."""
