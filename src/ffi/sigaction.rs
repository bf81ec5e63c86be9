//! A process-wide registry over sigaction(2).
//!
//! A signal has one *round* at a time: from the first subscription to the
//! first delivery, or to the end of the last subscription. A round has one
//! event that is never drained, so one write wakes every subscriber of every
//! group. The first delivery ends the round and puts the previous disposition
//! back. If somebody has put a handler over ours meanwhile, ours may be in
//! their chain: it stays, and hands every signal on to what was there before.

use super::os::{Event, signal_fd};
use super::process::{self, PerProcess};
use crate::sync::unmodelled::{AtomicBool, AtomicI32, AtomicPtr, AtomicUsize, Ordering::SeqCst};
use crate::sync::{Arc, Weak};
use libc::{c_int, c_void, sigaction, siginfo_t};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use std::{io, ptr};

const SIGNALS: usize = 65;

/// What the handler reads. Plain atomics: it may run on any thread at any time.
struct Slot {
    /// The write end of the round's event; -1: no round.
    fd: AtomicI32,
    /// The process that the round belongs to: descriptors survive a fork.
    owner: AtomicI32,
    chain: AtomicBool,
    /// What was there before ours; leaked, since a handler may be reading it.
    previous: AtomicPtr<sigaction>,
    /// Handlers that may be using `fd`.
    inside: AtomicUsize,
    /// The thread that is handing a signal on, to end a chain that leads back.
    forwarding: AtomicI32,
}

static SLOTS: [Slot; SIGNALS] = [const {
    Slot {
        fd: AtomicI32::new(-1),
        owner: AtomicI32::new(0),
        chain: AtomicBool::new(false),
        previous: AtomicPtr::new(ptr::null_mut()),
        inside: AtomicUsize::new(0),
        forwarding: AtomicI32::new(0),
    }
}; SIGNALS];

/// The current round of each signal, and the lock under which rounds begin and
/// end.
static ROUNDS: PerProcess<Rounds> = PerProcess::new();

struct Rounds([Weak<Round>; SIGNALS]);

impl Default for Rounds {
    fn default() -> Self {
        Rounds([const { Weak::new() }; SIGNALS])
    }
}

/// Keeps the disposition until the last subscriber is gone.
#[derive(Debug)]
struct Round {
    signal: c_int,
    event: Event,
}

/// One listener for one signal; its end is the end of listening.
#[derive(Debug)]
pub struct Subscription {
    round: Option<Arc<Round>>,
}

/// Whether a signal can be listened for: it exists, can be caught, and does not
/// mean that the program itself is at fault.
pub fn catchable(signal: i32) -> bool {
    let refused = [
        libc::SIGKILL,
        libc::SIGSTOP,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGFPE,
        libc::SIGILL,
        libc::SIGTRAP,
        libc::SIGABRT,
        libc::SIGSYS,
    ];
    // 32 and 33 are the C library's own.
    (1..SIGNALS as i32).contains(&signal)
        && !matches!(signal, 32 | 33)
        && !refused.contains(&signal)
}

impl Subscription {
    /// Listens for a signal that is [`catchable`]; `None` if the process was
    /// told to ignore it.
    pub fn new(signal: i32, chain: bool) -> io::Result<Option<Self>> {
        debug_assert!(catchable(signal));
        let mut rounds = ROUNDS.lock();
        let slot = &SLOTS[signal as usize];
        let pid = process::id();
        let current = rounds.0[signal as usize]
            .upgrade()
            // Delivered: a new round.
            .filter(|_| slot.fd.load(SeqCst) >= 0);
        if let Some(round) = current {
            slot.chain.fetch_or(chain, SeqCst);
            return Ok(Some(Subscription { round: Some(round) }));
        }
        let before = disposition(signal)?;
        if before.sa_sigaction == libc::SIG_IGN {
            return Ok(None);
        }
        let event = Event::new()?;
        let round = Arc::new(Round { signal, event });
        if before.sa_sigaction != handler_address() {
            let previous = slot.previous.load(SeqCst);
            // SAFETY: null, or leaked below and never freed.
            let kept = unsafe { previous.as_ref() }.is_some_and(|kept| same(kept, &before));
            if !kept {
                // The old one is leaked, since a handler may be reading it: a
                // few bytes each time the program itself changed its handler.
                slot.previous.store(Box::into_raw(Box::new(before)), SeqCst);
            }
        }
        if slot.owner.load(SeqCst) != pid {
            // The event is a parent's; its handlers that a fork caught do not
            // run here.
            slot.fd.store(-1, SeqCst);
            slot.inside.store(0, SeqCst);
            slot.forwarding.store(0, SeqCst);
            slot.owner.store(pid, SeqCst);
        }
        slot.chain.store(chain, SeqCst);
        slot.fd.store(round.event.write_fd(), SeqCst);
        if before.sa_sigaction != handler_address()
            && let Err(error) = install(signal)
        {
            slot.fd.store(-1, SeqCst);
            return Err(error);
        }
        rounds.0[signal as usize] = Arc::downgrade(&round);
        Ok(Some(Subscription { round: Some(round) }))
    }

    /// Readable once the signal came.
    pub fn fd(&self) -> RawFd {
        self.round().event.fd()
    }

    /// The signal.
    pub fn signal(&self) -> i32 {
        self.round().signal
    }

    fn round(&self) -> &Round {
        self.round.as_ref().expect("only drop takes it")
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // Under the lock, so that a round ends before another begins.
        let rounds = ROUNDS.lock();
        let Some(round) = self.round.take().and_then(Arc::into_inner) else {
            return;
        };
        let slot = &SLOTS[round.signal as usize];
        let fd = round.event.write_fd();
        // The owner changes under the lock only.
        if slot.owner.load(SeqCst) == process::id() {
            if slot.fd.compare_exchange(fd, -1, SeqCst, SeqCst).is_ok() {
                restore(round.signal);
            }
            // A handler that has read the descriptor writes to it in a moment;
            // closing it before could make it write to a stranger's.
            while slot.inside.load(SeqCst) != 0 {
                std::thread::yield_now();
            }
        }
        drop(round);
        drop(rounds);
    }
}

fn handler_address() -> usize {
    on_signal as extern "C" fn(c_int, *mut siginfo_t, *mut c_void) as usize
}

fn disposition(signal: c_int) -> io::Result<sigaction> {
    let mut current = MaybeUninit::<sigaction>::zeroed();
    // SAFETY: the pointer is to a sigaction; all zeroes is a valid one.
    unsafe {
        if libc::sigaction(signal, ptr::null(), current.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(current.assume_init())
    }
}

fn same(a: &sigaction, b: &sigaction) -> bool {
    // SAFETY: both masks are valid, and so are the numbers asked for.
    let blocks =
        |action: &sigaction, signal| unsafe { libc::sigismember(&action.sa_mask, signal) == 1 };
    // Only the flags that a program sets: the C library adds one of its own.
    let flags = libc::SA_NOCLDSTOP
        | libc::SA_NOCLDWAIT
        | libc::SA_SIGINFO
        | libc::SA_ONSTACK
        | libc::SA_RESTART
        | libc::SA_NODEFER
        | libc::SA_RESETHAND;
    a.sa_sigaction == b.sa_sigaction
        && (a.sa_flags ^ b.sa_flags) & flags == 0
        && (1..SIGNALS as c_int).all(|signal| blocks(a, signal) == blocks(b, signal))
}

fn install(signal: c_int) -> io::Result<()> {
    // SAFETY: all zeroes is a valid sigaction; the handler has the form that
    // SA_SIGINFO asks for and is async-signal-safe.
    unsafe {
        let mut action: sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = handler_address();
        // ONSTACK: in a Go program the handler must run on Go's signal stack.
        action.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        if libc::sigaction(signal, &action, ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Puts the previous disposition back, if the handler is still ours.
/// Async-signal-safe.
fn restore(signal: c_int) {
    let previous = SLOTS[signal as usize].previous.load(SeqCst);
    if previous.is_null() {
        return;
    }
    if disposition(signal).is_ok_and(|current| current.sa_sigaction == handler_address()) {
        // SAFETY: `previous` points to a sigaction that is never freed while
        // it can be reached from the slot.
        unsafe { libc::sigaction(signal, previous, ptr::null_mut()) };
    }
}

/// The interrupted code's errno, put back at the end.
struct KeepErrno(c_int);

impl KeepErrno {
    fn new() -> Self {
        // SAFETY: the location is this thread's errno.
        KeepErrno(unsafe { *errno() })
    }
}

impl Drop for KeepErrno {
    fn drop(&mut self) {
        // SAFETY: as above; a handler runs on one thread.
        unsafe { *errno() = self.0 };
    }
}

unsafe fn errno() -> *mut c_int {
    #[cfg(any(target_os = "macos", target_os = "freebsd", target_os = "ios"))]
    // SAFETY: always valid.
    return unsafe { libc::__error() };
    #[cfg(not(any(target_os = "macos", target_os = "freebsd", target_os = "ios")))]
    // SAFETY: always valid.
    return unsafe { libc::__errno_location() };
}

/// Async-signal-safe throughout: atomics, getpid, write, sigaction, raise.
extern "C" fn on_signal(signal: c_int, info: *mut siginfo_t, context: *mut c_void) {
    let _errno = KeepErrno::new();
    let slot = &SLOTS[signal as usize];
    let mine = slot.owner.load(SeqCst) == process::id();
    let mut delivered = false;
    if mine {
        slot.inside.fetch_add(1, SeqCst);
        let fd = slot.fd.swap(-1, SeqCst);
        if fd >= 0 {
            delivered = true;
            restore(signal);
            signal_fd(fd);
        }
        slot.inside.fetch_sub(1, SeqCst);
    }
    if !delivered || slot.chain.load(SeqCst) {
        forward(slot, signal, info, context, delivered);
    }
}

/// Does what the disposition before ours would have done.
fn forward(
    slot: &Slot,
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut c_void,
    delivered: bool,
) {
    let previous = slot.previous.load(SeqCst);
    if previous.is_null() {
        return;
    }
    // SAFETY: never freed while reachable; see `Slot::previous`.
    let previous = unsafe { &*previous };
    match previous.sa_sigaction {
        libc::SIG_IGN => {}
        libc::SIG_DFL => {
            if !delivered {
                // SAFETY: both are async-signal-safe. The signal is blocked
                // while its handler runs, and acts when it returns.
                unsafe {
                    libc::sigaction(signal, previous, ptr::null_mut());
                    libc::raise(signal);
                }
            }
        }
        address => {
            let me = thread_id();
            if slot.forwarding.load(SeqCst) == me {
                return; // a chain that led back to us
            }
            let marked = slot
                .forwarding
                .compare_exchange(0, me, SeqCst, SeqCst)
                .is_ok();
            // SAFETY: the address is the handler that the program installed,
            // of the form that its flags say.
            unsafe {
                if previous.sa_flags & libc::SA_SIGINFO != 0 {
                    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) =
                        std::mem::transmute(address);
                    handler(signal, info, context);
                } else {
                    let handler: extern "C" fn(c_int) = std::mem::transmute(address);
                    handler(signal);
                }
            }
            if marked {
                slot.forwarding.store(0, SeqCst);
            }
        }
    }
}

fn thread_id() -> i32 {
    #[cfg(target_os = "linux")]
    // SAFETY: no arguments, always succeeds.
    return unsafe { libc::syscall(libc::SYS_gettid) as i32 };
    #[cfg(not(target_os = "linux"))]
    // SAFETY: no arguments, always succeeds.
    return unsafe { libc::pthread_self() } as usize as i32;
}
