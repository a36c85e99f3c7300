"""The life of call tasks in memory, as pure steps: opened, raised, handed out, announced, closed."""
