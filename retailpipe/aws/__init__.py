"""The AWS side: a deployed stack, as the program at the top of this project makes it."""
