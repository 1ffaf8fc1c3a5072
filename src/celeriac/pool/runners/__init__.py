"""How the jobs of one child run: one after the other, in threads, as coroutines."""
