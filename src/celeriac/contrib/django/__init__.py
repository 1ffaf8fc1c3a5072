"""What Django projects use; `celeriac.fixups.django` makes an app fit in with them."""
