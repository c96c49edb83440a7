"""A deployed stack on AWS, and the functions behind the commands that work on it.

Most functions take a `Stack`, which is `environment.stack`. `Cleanup` takes a name instead, because the outputs of the
stack may be deleted already. `retailpipe.watch` takes an environment.
"""
