"""Programs and libraries made for Celery, unmodified: beside a fleet of Celeriac, and on Celeriac itself."""
