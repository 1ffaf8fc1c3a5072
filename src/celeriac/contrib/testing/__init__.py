"""Help for testing programs that use tasks: apps without servers, and workers in threads of the test."""
