"""Destroy the stacks of a class with engines, in parallel: what `class down` calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from retailpipe.aws.session import Aws
from retailpipe.classroom.definition import Classroom
from retailpipe.classroom.down import Destroy, Destroyed
from retailpipe.classroom.engine.deployment import Deployment, StackResult, engine_errors
from retailpipe.classroom.engine.engines import Engines
from retailpipe.classroom.engine.together import Show, Together, engines_at_once
from retailpipe.classroom.engine.workspace import Workspace
from retailpipe.classroom.lock import class_lock


def destroyer(classroom: Classroom, aws: Aws, account: str, *, at_once: int | None, show: Show) -> Destroy:
    """The function that destroys stacks with Pulumi. Raises UsageError if pulumi is not installed.

    at_once: how many engines run at once; default: the class file's `stacks_at_once`, else as the memory allows.
    show: called again and again with the stacks that are being removed and the results so far.
    """
    engines = Engines()
    workspace = Workspace(classroom.file, engines, aws)
    together = Together(engines, at_once or engines_at_once(classroom.file.stacks_at_once), show)

    def destroy(stacks: Sequence[str]) -> Mapping[str, Destroyed]:
        with class_lock(classroom.folder):
            if not together.is_stopping:
                with engine_errors("install Pulumi's AWS provider"):
                    workspace.install_provider()
            deployments = [Deployment(stack, workspace, None, aws, account) for stack in stacks]
            results = together.run(deployments, Deployment.destroy)
        return {stack: _destroyed(results.get(stack), together) for stack in stacks}

    return destroy


def _destroyed(result: StackResult | None, together: Together) -> Destroyed:
    if result is None:  # it was not started
        return Destroyed("the command was interrupted" if together.interrupted else "the AWS session has expired")
    if not result.ok:
        return Destroyed(f"{result.problem}. {result.hint}")
    return Destroyed(was_known=result.outcome != "absent")
