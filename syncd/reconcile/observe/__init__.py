"""What the source and the site show, and what that proves."""
