"""The benchmark's tasks, written once per peer; imported only inside that peer's environment."""
