"""The worker: takes messages from a broker, has a pool run them, and settles them.  Pools are built elsewhere."""
