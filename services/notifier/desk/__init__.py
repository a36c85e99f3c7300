"""Where tasks are changed: by the triggers of the log, by people, and by time."""
