"""What `celeriac doctor` looks at.  Each module looks at one thing, changes nothing, and returns findings."""
