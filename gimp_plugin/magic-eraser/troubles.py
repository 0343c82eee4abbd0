"""What can go wrong between the plug-in and its engine: one sentence each, and what to do. Standard library only."""

from __future__ import annotations


class ClientError(Exception):
    """One sentence that says what happened, and a hint that says what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class NoInterpreter(ClientError): ...


class NoEraser(ClientError): ...


class NotStarted(ClientError): ...


class NoEngine(ClientError): ...


class WrongToken(ClientError): ...


class WrongVersion(ClientError): ...


class EngineStopped(ClientError): ...


class TooSlow(ClientError): ...


class DiskFull(ClientError): ...


class Damaged(ClientError): ...


class Cancelled(ClientError): ...


class Refused(ClientError):
    """The engine's own error; `kind` is its class, as in `eraser.errors`."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind


def sentence(trouble: Exception) -> str:
    """As a person reads it: on one line, with a capital and a full stop."""
    text = " ".join(str(trouble).split())
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
