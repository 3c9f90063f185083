"""Memory and time of programs on cards that are not here."""
