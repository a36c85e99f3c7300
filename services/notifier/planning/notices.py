"""The notices that the notifier raises itself: tasks in the inbox that speak of no customer."""

SILENCE = "product.silence_suspected"
"""So many of a product's customers missed one cutoff that it, or its events, may be down."""

DISABLED = "channel.disabled"
"""A channel takes nothing any more until somebody has looked after it."""
