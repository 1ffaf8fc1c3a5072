"""Running one task, start to finish.  Where it runs, and how its message got there, is not known here."""
