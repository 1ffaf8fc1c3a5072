"""Real Celery, in an environment of its own, with our client and our worker."""
