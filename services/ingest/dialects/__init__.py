"""What other services' SDKs send, each read by a pure parser onto our own event."""
