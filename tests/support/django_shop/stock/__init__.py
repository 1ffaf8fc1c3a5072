"""An app without a config of its own."""
