"""Compares Celeriac with other task queues on this machine.

Nothing here is shipped with the package; `bench/README.md` describes the method.
"""
