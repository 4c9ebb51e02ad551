"""The whole exception tree; errors carry fields, and only `cli` and `app` turn them into words.

UptuiError                  anything we raise on purpose; `str()` names what, where, what to do
├── ConfigError             a wrong flag, variable, config key or file content
├── StateError              a state file or directory cannot be read, written or trusted
├── AlreadyRunningError     another daemon owns this state directory
├── NotRunningError         no daemon answers on the runtime socket
├── ProtocolError           a peer broke one of the exchanges in docs/protocol.md
├── RelayError              the relay cannot be reached or will not serve us
│   ├── RelayUnreachableError   DNS, TCP, TLS or proxy failure: worth retrying
│   ├── NotARelayError          something answers there, but it is not a uptui relay
│   └── RelayRefusedError       the relay said no: `code` says which no
├── EndedError              the terminal is gone, or a signal told us to end
├── RefusedError            a client may not do this; the message is shown to that client
└── ApiError                the host API refused a call; `status`, `title`, `detail`
"""


class UptuiError(Exception):
    """Base of everything uptui raises on purpose."""


class ConfigError(UptuiError):
    """A setting is wrong; `where` names the flag, variable, or file and key."""

    def __init__(self, where: str, problem: str) -> None:
        super().__init__(f"{where}: {problem}")
        self.where = where
        self.problem = problem


class StateError(UptuiError):
    """A state file or directory is unusable; `path` names it."""

    def __init__(self, path: object, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = str(path)
        self.problem = problem


class AlreadyRunningError(UptuiError):
    """Another daemon holds the lock of this state directory."""


class NotRunningError(UptuiError):
    """No host daemon answers."""


class ProtocolError(UptuiError):
    """A message or preamble breaks docs/protocol.md."""


class RelayError(UptuiError):
    """The relay cannot be used."""


class RelayUnreachableError(RelayError):
    """The relay did not answer; trying again may help."""


class NotARelayError(RelayError):
    """The address answers, but not as a uptui relay."""


class RelayRefusedError(RelayError):
    """The relay refused; `code` is one of protocol.control.RefusalCode or an HTTP problem type."""

    def __init__(self, code: str, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after


class EndedError(UptuiError):
    """Nobody sees what is shown any more; `code` is the exit code for that."""

    def __init__(self, code: int) -> None:
        super().__init__("the terminal is gone, or a signal told us to end")
        self.code = code


class RefusedError(UptuiError):
    """A client may not join or do this; the text is written for that client to read."""


class ApiError(UptuiError):
    """A host API call was refused; the fields are those of RFC 9457 problem details."""

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status = status
        self.title = title
        self.detail = detail
