"""What there is of ``billiard``, whose processes Celeriac does not use, for libraries that look into them."""
