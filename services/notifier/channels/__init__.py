"""The channels: each turns letters into requests and an answer into a result; one file each."""
