"""The errors that a person can act on."""

from __future__ import annotations


class OffbeatError(Exception):
    """Base of all errors that offbeat raises on purpose. The message is one line that says what to do."""

    exit_code = 1


class UserError(OffbeatError):
    """The input, the pipeline or the command is at fault: exit code 2."""

    exit_code = 2


class SpecError(UserError):
    """The pipeline file is wrong; `problems` holds one line per problem, each with line number and key where known."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems
