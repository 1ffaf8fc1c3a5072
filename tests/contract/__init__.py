"""Contracts applied to Celeriac's own drivers."""
