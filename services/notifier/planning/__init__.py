"""What is asked for, before there is a task: who is to call whom, when, where it is said, or why not yet."""
