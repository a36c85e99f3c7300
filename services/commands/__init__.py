"""The commands of `usage-triggers`, one small file each; what a command needs is imported when it runs."""
