"""Help for testing programs that use Celeriac, and drivers written for it."""
