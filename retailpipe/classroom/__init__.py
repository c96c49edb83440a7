"""A class: one stack for each student of a roster, created, watched, graded and removed together."""
