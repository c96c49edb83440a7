"""Run Pulumi's engine for the stacks of a class, several at once."""
