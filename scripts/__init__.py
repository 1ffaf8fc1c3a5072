"""Programs for those who work on Celeriac."""
