"""Cold-start equality, by force: random projects, random edits, and a fresh interpreter to compare each answer with."""
