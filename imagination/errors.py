"""Every error raised on purpose, with its hint and its exit code.

    ImaginationError            1  message (one line: what, where, the offending value), hint (what to type next)
    ├── ConfigError             2  a file or an option of the user: path, line and dotted key
    │   └── WorkflowError          the workflow lacks a node or an input that the settings must reach
    ├── ServiceError            3  a server we depend on; `retryable` says whether waiting can help
    │   ├── NotReady                both services at once, before the first picture
    │   ├── ComfyUIError           a ComfyUI answer that makes no sense
    │   │   ├── ComfyUIUnreachable *    refused, reset, silent
    │   │   ├── WorkflowRejected        /prompt answered 400: `node_errors`
    │   │   ├── ExecutionFailed         a node raised: node, class, first line of the cause
    │   │   ├── JobCancelled            someone interrupted or deleted it in ComfyUI
    │   │   └── BadImage                the picture that came back does not decode
    │   └── VisionError            a vision model's server
    │       ├── VisionUnreachable *
    │       ├── VisionTimedOut *
    │       ├── VisionBusy *            5xx, 429: `retry_after` seconds where the server said so
    │       ├── VisionRefused           key, credit, quota, moderation, unknown model: asking again cannot help
    │       └── UnreadableReply *       text came, but no answer could be read out of it (keeps the text)
    └── StoreError              4  an artefact is missing, torn, or newer than this program

An asterisk marks the retryable ones. Ctrl-C is no error of ours: `KeyboardInterrupt` (130), and `Terminated` for
SIGTERM (143) and SIGHUP (129). Errors carry data and never print; an API key is in none of them.
"""

from __future__ import annotations

from typing import Any, Mapping, Optional, Sequence


def one_line(text: str) -> str:
    """`text` without line ends, escapes and whatever else a terminal acts on: messages quote files, models and servers."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)


class ImaginationError(Exception):
    """Base of all errors raised on purpose: a one-line message and what to do about it."""

    exit_code = 1
    problems: Sequence[str] = ()  # one line for each thing found, where there are several

    def __init__(self, message: str, hint: str = "") -> None:
        self.message = one_line(message)
        self.hint = "\n".join(one_line(line) for line in hint.split("\n"))
        super().__init__(self.message)


class ConfigError(ImaginationError):
    """A file or an option of the user is wrong. `problems` has one line for each thing found."""

    exit_code = 2

    def __init__(self, message: str, hint: str = "", problems: Sequence[str] = ()) -> None:
        super().__init__(message, hint)
        self.problems = tuple(one_line(problem) for problem in problems)


class WorkflowError(ConfigError):
    """The workflow cannot be driven: not in API format, or a setting reaches no node."""


class ServiceError(ImaginationError):
    """A server we depend on failed."""

    exit_code = 3
    retryable = False


class NotReady(ServiceError):
    """More than one service lacks something, found before the first picture: `problems` and all hints."""

    def __init__(self, errors: Sequence[ImaginationError]) -> None:
        hints = dict.fromkeys(err.hint for err in errors if err.hint)
        super().__init__("the services are not ready", "\n".join(hints))
        self.problems = tuple(err.message for err in errors)


class ComfyUIError(ServiceError):
    """ComfyUI answered with something that is neither success nor a known failure."""


class ComfyUIUnreachable(ComfyUIError):
    """No connection, a broken connection, or silence beyond the time limit."""

    retryable = True


class WorkflowRejected(ComfyUIError):
    """`POST /prompt` answered 400; `node_errors` is ComfyUI's own account of it."""

    def __init__(self, message: str, hint: str = "", node_errors: Optional[Mapping[str, Any]] = None) -> None:
        super().__init__(message, hint)
        self.node_errors = dict(node_errors or {})


class ExecutionFailed(ComfyUIError):
    """A node raised while the prompt ran. `traceback` holds the server's frames, for the log only."""

    def __init__(
        self, message: str, hint: str = "", *, node_id: str = "", node_type: str = "", traceback: Sequence[str] = ()
    ) -> None:
        super().__init__(message, hint)
        self.node_id = node_id
        self.node_type = node_type
        self.traceback = tuple(traceback)


class JobCancelled(ComfyUIError):
    """The prompt was interrupted or deleted by someone else."""


class BadImage(ComfyUIError):
    """The picture that came back does not decode fully."""


class VisionError(ServiceError):
    """A vision model's server failed. `retry_after` is the server's own hint in seconds, if it gave one."""

    def __init__(self, message: str, hint: str = "", retry_after: Optional[float] = None) -> None:
        super().__init__(message, hint)
        self.retry_after = retry_after


class VisionUnreachable(VisionError):
    """No connection, or it broke."""

    retryable = True


class VisionTimedOut(VisionError):
    """No answer within the time limit; the attempt may have been billed."""

    retryable = True


class VisionBusy(VisionError):
    """The server says that it cannot answer now (5xx, rate limit, queue full)."""

    retryable = True


class VisionRefused(VisionError):
    """Asking again cannot help: key, credit, daily quota, moderation, unknown model, our own malformed request.

    `lasting` means that the provider is not to be asked again in this run.
    """

    def __init__(self, message: str, hint: str = "", *, lasting: bool = False) -> None:
        super().__init__(message, hint)
        self.lasting = lasting


class UnreadableReply(VisionError):
    """A reply came, but no usable answer is in it; `text` keeps what the model wrote."""

    retryable = True

    def __init__(self, message: str, hint: str = "", text: str = "") -> None:
        super().__init__(message, hint)
        self.text = text


class StoreError(ImaginationError):
    """An artefact is missing, torn, or written by a newer version of this program; or the disk refused a write."""

    exit_code = 4


class Damaged(StoreError):
    """An artefact is there and cannot be understood: torn, or changed by somebody."""


class Terminated(KeyboardInterrupt):
    """SIGTERM or SIGHUP, raised in the main thread so that it stops the run the way Ctrl-C does."""

    def __init__(self, exit_code: int = 143) -> None:
        super().__init__()
        self.exit_code = exit_code
