//! The library's own failures. Their numbers are part of the C interface.

use std::ffi::c_int;
use std::fmt;

/// No error.
pub const RG_OK: c_int = 0;
/// An argument is wrong; nothing was changed.
pub const RG_EINVAL: c_int = -10001;
/// Not now: the group runs or has run, or has not begun, or one of its own
/// actors waits for it.
pub const RG_ESTATE: c_int = -10002;
/// No memory or no file descriptor is left.
pub const RG_ENOMEM: c_int = -10003;
/// A thread could not be had; nothing was started, the group is as before.
pub const RG_ESPAWN: c_int = -10004;
/// The grace was over and something of some actors had not ended.
pub const RG_ETIMEDOUT: c_int = -10005;
/// An actor panicked, threw an exception or left its thread.
pub const RG_EPANIC: c_int = -10006;
/// The handle is not one of a compatible version of this library.
pub const RG_EABI: c_int = -10007;
/// Not on this platform.
pub const RG_ENOTSUP: c_int = -10008;

/// A failure of the library itself, as opposed to an actor's own code. A
/// number, once given, is never changed or used again.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// An argument that cannot be right.
    Invalid,
    /// Not now: the group runs, or has run, or has not begun.
    State,
    /// No memory or no file descriptor is left.
    Memory,
    /// No thread could be had; nothing was started.
    Spawn,
    /// The grace was over and something had not returned.
    TimedOut,
    /// An actor panicked, threw an exception or left its thread.
    Panic,
    /// The handle is not a group of a compatible version of this library.
    Abi,
    /// Not on this platform.
    Unsupported,
}

impl Error {
    /// Every failure, in the order of their numbers.
    pub const ALL: [Error; 8] = [
        Error::Invalid,
        Error::State,
        Error::Memory,
        Error::Spawn,
        Error::TimedOut,
        Error::Panic,
        Error::Abi,
        Error::Unsupported,
    ];

    /// The number that crosses the C interface (`RG_EINVAL` and its like).
    pub const fn code(self) -> c_int {
        match self {
            Error::Invalid => RG_EINVAL,
            Error::State => RG_ESTATE,
            Error::Memory => RG_ENOMEM,
            Error::Spawn => RG_ESPAWN,
            Error::TimedOut => RG_ETIMEDOUT,
            Error::Panic => RG_EPANIC,
            Error::Abi => RG_EABI,
            Error::Unsupported => RG_ENOTSUP,
        }
    }

    /// Its constant's name in C.
    pub const fn name(self) -> &'static std::ffi::CStr {
        match self {
            Error::Invalid => c"RG_EINVAL",
            Error::State => c"RG_ESTATE",
            Error::Memory => c"RG_ENOMEM",
            Error::Spawn => c"RG_ESPAWN",
            Error::TimedOut => c"RG_ETIMEDOUT",
            Error::Panic => c"RG_EPANIC",
            Error::Abi => c"RG_EABI",
            Error::Unsupported => c"RG_ENOTSUP",
        }
    }

    /// The failure with this number.
    pub fn from_code(code: i32) -> Option<Error> {
        Error::ALL.into_iter().find(|error| error.code() == code)
    }

    /// What went wrong and what to do about it.
    pub const fn sentence(self) -> &'static std::ffi::CStr {
        match self {
            Error::Invalid => {
                c"an argument is invalid: a NULL or missing function, a name that is not UTF-8 or longer than 255 bytes, an unknown number, or a size of another structure; see the function's description"
            }
            Error::State => {
                c"the group is not in a state for this: actors and settings come before rg_run, a group runs once and not from one of its own actors, and an actor completes once"
            }
            Error::Memory => {
                c"no memory or no file descriptor is left: raise the limit (ulimit -n) or close some"
            }
            Error::Spawn => {
                c"a thread could not be created, so no actor was started: raise the limit on threads (ulimit -u, the container's pids limit), or give the actors smaller stacks"
            }
            Error::TimedOut => {
                c"the grace is over and some actors have not returned: rg_format_report names them; leave the process with rg_exit"
            }
            Error::Panic => {
                c"an actor panicked, threw an exception or left its thread instead of returning; the cause's message says more"
            }
            Error::Abi => {
                c"the handle is no rungroup handle of a compatible version: check which copies of the library this process has loaded, and that the group was not freed"
            }
            Error::Unsupported => c"not supported on this platform",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence().to_string_lossy())
    }
}

/// With the sentence: std prints this for a `main` that returns it.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Error::Invalid => "Invalid",
            Error::State => "State",
            Error::Memory => "Memory",
            Error::Spawn => "Spawn",
            Error::TimedOut => "TimedOut",
            Error::Panic => "Panic",
            Error::Abi => "Abi",
            Error::Unsupported => "Unsupported",
        };
        write!(f, "{name}: {self}")
    }
}

impl std::error::Error for Error {}
