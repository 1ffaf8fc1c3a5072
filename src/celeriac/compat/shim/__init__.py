"""The directory that ``celeriac exec`` puts on the path of Python; its `bin` goes on the path of the shell."""
