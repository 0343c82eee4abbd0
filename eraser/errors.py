"""What can go wrong, and whose fault it is.

EraserError                    everything below; carries a hint: what to do next
├── InputError (ValueError)    the caller can mend it
│   ├── SizeMismatch           image and mask (or size asked for and size possible) differ
│   ├── EmptyHole              nothing to paint
│   ├── NothingKnown           everything to paint, or nothing visible to paint it from
│   ├── UnsupportedImage       a kind, mode, depth or size that cannot be taken without harm
│   ├── DamagedImage           a file that is truncated or is no image
│   └── OutOfRange             a number (percent, box, seed, grow ...) outside its range
├── OutputError (OSError)      the result cannot be written where it was asked for
│   └── OutputExists           it would overwrite a file
├── EngineError                an engine cannot do its work
│   ├── UnknownEngine
│   ├── MissingExtra           an optional package is not installed
│   ├── MissingWeights
│   ├── DamagedWeights
│   ├── FetchFailed            weights could not be brought here: no network, no room
│   ├── Refused                a checkpoint's safety checker takes exception to what was drawn
│   └── OutOfMemory
├── ServiceError               the engine process cannot do what was asked of it
│   ├── BadRequest             not what it understands
│   ├── WrongToken
│   ├── WrongVersion           client and engine speak different protocols
│   ├── TooLarge               more bytes or pixels than it was started to take
│   ├── TooBusy                too many jobs wait, or it is stopping
│   ├── TimeLimit              the work took longer than allowed
│   ├── DiskFull
│   └── EngineRunning          another one holds the same door
└── Cancelled                  the caller asked to stop
"""

from __future__ import annotations


class EraserError(Exception):
    """One sentence with the numbers in it, and a `hint` that says what to do next (may be empty)."""

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}: {self.hint}" if self.hint else self.message


class InputError(EraserError, ValueError): ...


class SizeMismatch(InputError): ...


class EmptyHole(InputError): ...


class NothingKnown(InputError): ...


class UnsupportedImage(InputError): ...


class DamagedImage(InputError): ...


class OutOfRange(InputError): ...


class OutputError(EraserError, OSError):
    def __init__(self, message: str, *, hint: str = "") -> None:
        # OSError.__new__ keeps its own view of the arguments; ours is the sentence
        EraserError.__init__(self, message, hint=hint)


class OutputExists(OutputError): ...


class EngineError(EraserError): ...


class UnknownEngine(EngineError): ...


class MissingExtra(EngineError): ...


class MissingWeights(EngineError): ...


class DamagedWeights(EngineError): ...


class FetchFailed(EngineError): ...


class Refused(EngineError): ...


class OutOfMemory(EngineError): ...


class ServiceError(EraserError): ...


class BadRequest(ServiceError): ...


class WrongToken(ServiceError): ...


class WrongVersion(ServiceError): ...


class TooLarge(ServiceError): ...


class TooBusy(ServiceError): ...


class TimeLimit(ServiceError): ...


class DiskFull(ServiceError): ...


class EngineRunning(ServiceError): ...


class Cancelled(EraserError): ...
