"""Results in key-value stores: one backend over a small driver for each store.

`backend` implements the port, `driver` says what a store has to offer, `watcher` waits for results, and `schemes` is
the table of URL schemes.  The package of a store is imported in its own driver alone, when its scheme is used.
"""
