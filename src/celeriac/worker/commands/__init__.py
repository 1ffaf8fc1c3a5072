"""Commands of remote control: the table of them, the built-in ones, and how one is carried out."""
