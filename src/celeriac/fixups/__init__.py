"""What makes an app fit in with a framework that is found to be in use."""
