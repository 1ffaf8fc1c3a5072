"""What some programs use beside tasks and workers: integrations, tools, help for tests."""
