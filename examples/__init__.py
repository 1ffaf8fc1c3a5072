"""Small programs that use Celeriac as its users do."""
