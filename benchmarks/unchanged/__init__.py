"""Shows that moving code changes nothing that it computes: COMMIT beside this working tree."""
