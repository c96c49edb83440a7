"""A deployed stack, and what the commands do with it, as functions: each module is one of them.

    from retailpipe.watch import watch

`watch` takes an environment, the others its `stack`; `Cleanup` takes a name, since there may be nothing left to ask.
"""
