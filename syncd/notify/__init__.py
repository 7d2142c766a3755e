"""Messages to people: one when a cause begins, one when it ends."""
