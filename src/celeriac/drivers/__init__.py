"""Connections to servers.  They know protocols, not queues or results."""
