"""Where tasks run: children of a spawner, or this process.  Which message runs next is the worker's business."""
