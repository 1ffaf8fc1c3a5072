"""A package whose tasks are found."""
