"""What kombu offers to those who send messages of their own, where kombu itself is not installed."""
