"""The rows of the suite, by subject; the catalogue loads every module here."""
