"""What a configuration will cost."""
