"""Values and seams that the three services share; imports no service."""
