"""What people are told, and in which words: a letter as a Slack message, a mail or a preset's facts."""
