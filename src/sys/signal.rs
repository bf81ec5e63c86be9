//! A process-wide registry over sigaction(2).
//!
//! A signal actor has a *node* in a list that the signal handler walks. The handler
//! notes the signal in every node that wants it, and makes the node's descriptor
//! readable. While an actor listens for a signal, the signal is absorbed; the handler
//! passes on a signal that no actor wants, and a second Ctrl-C.
//!
//! Another component may install its own handler over the library's, keep the
//! library's address, and call it for ever. So the library has several handlers, its
//! *layers*. A layer that is covered by another component's handler stays installed,
//! and hands signals on to the disposition that it replaced; the next listener gets
//! another layer, on top. A layer finds what is below it by its own address, so that a
//! chain of handlers never leads in a circle, whichever thread a handler runs on and
//! however it is left.

use super::event::{Event, poll, signal_fd, to_read};
use super::fork::{PerProcess, id};
use super::memory::try_box;
use crate::error::Error;
use crate::sync::unmodelled::Ordering::SeqCst;
use crate::sync::unmodelled::{AtomicBool, AtomicI32, AtomicPtr, AtomicU8, AtomicU64, AtomicUsize};
use crate::sync::{MutexGuard, now};
use crate::text::because;
use libc::{c_int, c_void, sigaction, siginfo_t};
use std::mem::{ManuallyDrop, MaybeUninit};
use std::{io, ptr};

const SIGNALS: usize = 65;
const LAYERS: usize = 8;

/// A Ctrl-C that comes so many nanoseconds after the one before is meant to end the
/// process; one that comes sooner is the same stop, delivered twice (rule 16).
const AGAIN: u64 = 250_000_000;

type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);

/// What the handlers know of one signal. Atomics, and no lock: a handler may run on any
/// thread at any time, also on one that holds a lock.
struct Slot {
    /// The layer that listens, plus one; 0: no layer does.
    active: AtomicUsize,
    /// The layers that may still be called, a bit each.
    used: AtomicU8,
    /// The signal was passed on, and no listener has come since.
    passed_on: AtomicBool,
    /// The disposition that each layer replaced. Never freed, since a handler may be
    /// reading it.
    previous: [AtomicPtr<sigaction>; LAYERS],
}

static SLOTS: [Slot; SIGNALS] = [const {
    Slot {
        active: AtomicUsize::new(0),
        used: AtomicU8::new(0),
        passed_on: AtomicBool::new(false),
        previous: [const { AtomicPtr::new(ptr::null_mut()) }; LAYERS],
    }
}; SIGNALS];

/// The process that the nodes' listeners belong to: a forked child inherits the nodes,
/// and must not act on the parent's.
static OWNER: AtomicI32 = AtomicI32::new(0);
/// The number of handlers that may be using a node at this moment.
static INSIDE: AtomicUsize = AtomicUsize::new(0);
/// The list of nodes, which are reused and never freed.
static NODES: AtomicPtr<Node> = AtomicPtr::new(ptr::null_mut());

struct Node {
    next: *const Node,
    /// Whether the node belongs to a listener; changed under the registry's lock.
    taken: AtomicBool,
    /// The signals that are wanted, a bit each.
    wanted: AtomicU64,
    /// Whether a signal is handed on to the handler that was there before.
    chain: AtomicBool,
    /// The write end of the listener's event.
    fd: AtomicI32,
    /// The first signal that came; 0: none.
    first: AtomicI32,
    /// When Ctrl-C or Ctrl-\ came last; 0: never.
    pressed: AtomicU64,
}

/// The number of listeners for each signal. Dispositions are changed under its lock.
struct Registry([u32; SIGNALS]);

impl Default for Registry {
    fn default() -> Self {
        Registry([0; SIGNALS])
    }
}

static REGISTRY: PerProcess<Registry> = PerProcess::new();

/// SIGINT and SIGTERM, which ask a process to end.
pub const TERMINATION: &[i32] = &[libc::SIGINT, libc::SIGTERM];

/// A set of signals, a bit each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signals(u64);

impl Signals {
    /// Refuses an empty list, and signals that do not exist, cannot be caught, or
    /// mean that the program itself is at fault.
    pub fn new(signals: &[i32]) -> Result<Self, Error> {
        let mut bits = 0;
        for &signal in signals {
            if let Some(what) = refused(signal) {
                return Err(because(
                    Error::Invalid,
                    format_args!("signal {signal} {what}"),
                ));
            }
            bits |= bit(signal);
        }
        match bits {
            0 => Err(Error::Invalid),
            bits => Ok(Signals(bits)),
        }
    }

    fn iter(self) -> impl Iterator<Item = i32> {
        (1..SIGNALS as i32).filter(move |&signal| self.0 & bit(signal) != 0)
    }

    /// Unblocks the signals in this thread, whatever mask it inherited.
    pub fn unblock(self) {
        // SAFETY: the set is initialized before use, its members exist, and the
        // mask is this thread's.
        unsafe {
            let mut set = MaybeUninit::uninit();
            libc::sigemptyset(set.as_mut_ptr());
            for signal in self.iter() {
                libc::sigaddset(set.as_mut_ptr(), signal);
            }
            libc::pthread_sigmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut());
        }
    }
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

/// Why no actor can listen for this signal; `None`: one can.
fn refused(signal: i32) -> Option<&'static str> {
    match signal {
        libc::SIGKILL => Some("(SIGKILL) cannot be caught"),
        libc::SIGSTOP => Some("(SIGSTOP) cannot be caught"),
        libc::SIGSEGV
        | libc::SIGBUS
        | libc::SIGFPE
        | libc::SIGILL
        | libc::SIGTRAP
        | libc::SIGABRT
        | libc::SIGSYS => Some("means a fault of the program itself"),
        32 | 33 => Some("is the C library's own"),
        1.. if signal < SIGNALS as i32 => None,
        _ => Some("does not exist"),
    }
}

/// Whether an actor listens for the signal, and it was not passed on since. While this
/// holds, a runtime that gets the signal too must not act on it.
pub fn listens(signal: i32) -> bool {
    let slot = usize::try_from(signal).ok().and_then(|at| SLOTS.get(at));
    OWNER.load(SeqCst) == id()
        && slot.is_some_and(|slot| slot.active.load(SeqCst) != 0 && !slot.passed_on.load(SeqCst))
}

/// Listens again where somebody has left the default behind. An event loop does so when
/// it removes a handler of its own: a stop that came once more would end the process. A
/// handler that somebody has put over the library's stays.
pub fn renew() {
    let wanted = Node::all().fold(0, |all, node| all | node.wanted.load(SeqCst));
    if wanted == 0 {
        return;
    }
    let Ok(_registry) = Registry::lock() else {
        return;
    };
    for signal in Signals(wanted).iter() {
        let slot = &SLOTS[signal as usize];
        if let Some(layer) = slot.active.load(SeqCst).checked_sub(1)
            && disposition(signal).is_ok_and(|current| current.sa_sigaction == libc::SIG_DFL)
            // Else the library has put it back, for a second Ctrl-C that is about to act.
            && !slot.passed_on.load(SeqCst)
        {
            let _ = put(signal, layer);
        }
    }
}

/// Sends the signal to this process once more.
pub fn send_again(signal: i32) {
    // SAFETY: no pointers.
    unsafe { libc::kill(id(), signal) };
}

/// One listener. It listens from [`Listening::begin`] to [`Listening::end`] or its
/// drop, which put the dispositions back.
#[derive(Debug)]
pub struct Listening {
    node: &'static Node,
    wanted: Signals,
    chain: bool,
    /// The signals that it listens for at this moment, a bit each.
    open: AtomicU64,
    /// The process that listens.
    process: AtomicI32,
    event: ManuallyDrop<Event>,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Node")
    }
}

// SAFETY: `next` never changes once the node is in the list; the rest is atomic.
unsafe impl Sync for Node {}

impl Listening {
    /// A listener that does not listen yet. `chain`: each signal is also handed on to
    /// the handler that was there before.
    pub fn new(wanted: Signals, chain: bool) -> Result<Self, Error> {
        let event = Event::new()?;
        let _registry = Registry::lock()?;
        let node = Node::take().ok_or(Error::Memory)?;
        node.fd.store(event.write_fd(), SeqCst);
        Ok(Listening {
            node,
            wanted,
            chain,
            open: AtomicU64::new(0),
            process: AtomicI32::new(0),
            event: ManuallyDrop::new(event),
        })
    }

    /// Begins to listen, but not for signals that the process ignores (nohup).
    pub fn begin(&self) -> Result<(), Error> {
        self.event.drain();
        let mut registry = Registry::lock()?;
        self.process.store(id(), SeqCst);
        self.node.chain.store(self.chain, SeqCst);
        self.node.first.store(0, SeqCst);
        self.node.pressed.store(0, SeqCst);
        for signal in self.wanted.iter() {
            match registry.open(signal) {
                Ok(true) => {
                    self.open.fetch_or(bit(signal), SeqCst);
                    self.node.wanted.fetch_or(bit(signal), SeqCst);
                }
                Ok(false) => {}
                Err(_) => {
                    drop(registry);
                    self.end();
                    return Err(Error::Memory);
                }
            }
        }
        Ok(())
    }

    /// Whether each signal is also handed on to the handler that was there before.
    pub fn chains(&self) -> bool {
        self.chain
    }

    /// Unblocks the signals in this thread, whatever mask it inherited.
    pub fn unblock(&self) {
        self.wanted.unblock();
    }

    /// The first signal that came since [`Listening::begin`].
    pub fn first(&self) -> Option<i32> {
        Some(self.node.first.load(SeqCst)).filter(|&signal| signal != 0)
    }

    /// Waits for the first signal, or for [`Listening::wake`].
    pub fn wait(&self) -> Result<(), Error> {
        poll(&mut [to_read(self.event.fd())], None).map_err(|_| Error::Memory)?;
        self.event.drain();
        Ok(())
    }

    /// Ends a [`Listening::wait`].
    pub fn wake(&self) {
        self.event.signal();
    }

    /// Stops listening. When this returns, [`Listening::first`] does not change any
    /// more, and later signals go to the dispositions of before.
    pub fn end(&self) {
        let open = Signals(self.open.swap(0, SeqCst));
        if open.0 == 0 || self.process.load(SeqCst) != id() {
            return;
        }
        let Ok(mut registry) = Registry::lock() else {
            return;
        };
        self.node.wanted.store(0, SeqCst);
        for signal in open.iter() {
            registry.close(signal);
        }
        drop(registry);
        no_handler_inside();
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.end();
        // A handler that has loaded the descriptor's number writes to it a moment
        // later: if the descriptor were closed by then, the write could go to another
        // file that has its number.
        if no_handler_inside() {
            // SAFETY: dropped once, in this drop, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.event) };
            self.node.taken.store(false, SeqCst);
        }
    }
}

/// Waits until no handler uses a node. False: one seems to for 100 ms; it was probably
/// interrupted by another handler that left by a jump (siglongjmp), and never returns.
fn no_handler_inside() -> bool {
    const LONG: u64 = 100_000_000;
    let end = now().saturating_add(LONG);
    while INSIDE.load(SeqCst) != 0 {
        if now() > end {
            return false;
        }
        std::thread::yield_now();
    }
    true
}

impl Node {
    fn all() -> impl Iterator<Item = &'static Node> {
        let mut next: *const Node = NODES.load(SeqCst);
        std::iter::from_fn(move || {
            // SAFETY: null, or a node, which is never freed.
            let node = unsafe { next.as_ref() }?;
            next = node.next;
            Some(node)
        })
    }

    /// A node for a listener. With the registry's lock held.
    fn take() -> Option<&'static Node> {
        if let Some(node) = Node::all().find(|node| !node.taken.load(SeqCst)) {
            node.taken.store(true, SeqCst);
            return Some(node);
        }
        let node = Box::leak(try_box(Node {
            next: NODES.load(SeqCst),
            taken: AtomicBool::new(true),
            wanted: AtomicU64::new(0),
            chain: AtomicBool::new(false),
            fd: AtomicI32::new(-1),
            first: AtomicI32::new(0),
            pressed: AtomicU64::new(0),
        })?);
        NODES.store(node, SeqCst);
        Some(node)
    }

    /// Notes a signal. True: it is a second Ctrl-C, meant for the process and not for
    /// the listener. Async-signal-safe.
    fn note(&self, signal: c_int) -> bool {
        let key = matches!(signal, libc::SIGINT | libc::SIGQUIT);
        let now = now();
        let before = match key {
            true => self.pressed.swap(now, SeqCst),
            false => 0,
        };
        if self
            .first
            .compare_exchange(0, signal, SeqCst, SeqCst)
            .is_ok()
        {
            signal_fd(self.fd.load(SeqCst));
        }
        before != 0 && now.saturating_sub(before) >= AGAIN
    }
}

impl Registry {
    fn lock() -> Result<MutexGuard<'static, Registry>, Error> {
        let registry = REGISTRY.lock().ok_or(Error::Memory)?;
        if OWNER.load(SeqCst) != id() {
            // This is a forked child. The listeners are the parent's, and handlers that
            // ran in the parent during the fork do not run here.
            Node::all().for_each(|node| node.wanted.store(0, SeqCst));
            INSIDE.store(0, SeqCst);
            SLOTS.iter().for_each(|slot| slot.active.store(0, SeqCst));
            OWNER.store(id(), SeqCst);
        }
        Ok(registry)
    }

    /// Adds a listener for the signal. False: the process ignores the signal, and no
    /// listener was added.
    fn open(&mut self, signal: c_int) -> io::Result<bool> {
        let listeners = &mut self.0[signal as usize];
        if *listeners == 0 {
            let slot = &SLOTS[signal as usize];
            let before = disposition(signal)?;
            if before.sa_sigaction == libc::SIG_IGN {
                return Ok(false);
            }
            let layer = match layer_of(before.sa_sigaction) {
                // It was covered and no longer is, or a forked child inherited it.
                Some(layer) => layer,
                None => slot.install(signal, before)?,
            };
            slot.active.store(layer + 1, SeqCst);
        }
        SLOTS[signal as usize].passed_on.store(false, SeqCst);
        *listeners += 1;
        Ok(true)
    }

    /// Removes a listener for the signal. After the last one the former disposition is
    /// put back, unless another component has installed its own over the library's.
    fn close(&mut self, signal: c_int) {
        let listeners = &mut self.0[signal as usize];
        *listeners -= 1;
        if *listeners > 0 {
            return;
        }
        let slot = &SLOTS[signal as usize];
        let Some(layer) = slot.active.swap(0, SeqCst).checked_sub(1) else {
            return;
        };
        if is_current(signal, layer) {
            slot.restore(signal, layer);
            slot.used.fetch_and(!(1 << layer), SeqCst);
        }
    }
}

impl Slot {
    /// Installs a layer whose address no other component can have.
    fn install(&self, signal: c_int, before: sigaction) -> io::Result<usize> {
        let layer = self.used.load(SeqCst).trailing_ones() as usize;
        if layer >= LAYERS {
            // Other components have covered all layers, each during another run.
            return Err(io::Error::from_raw_os_error(libc::EAGAIN));
        }
        let place = &self.previous[layer];
        let old = place.load(SeqCst);
        // SAFETY: null, or a box that was leaked below and is never freed.
        if !unsafe { old.as_ref() }.is_some_and(|old| same(old, &before)) {
            // The old disposition is leaked, since a handler may be reading it: a few
            // bytes each time that the program has changed its own handler.
            let Some(new) = try_box(before) else {
                return Err(io::Error::from_raw_os_error(libc::ENOMEM));
            };
            place.store(Box::into_raw(new), SeqCst);
        }
        put(signal, layer)?;
        self.used.fetch_or(1 << layer, SeqCst);
        Ok(layer)
    }

    /// Puts back the disposition that the layer replaced. Async-signal-safe.
    fn restore(&self, signal: c_int, layer: usize) {
        let previous = self.previous[layer].load(SeqCst);
        // SAFETY: null, or a sigaction that is never freed.
        if let Some(previous) = unsafe { previous.as_ref() } {
            // SAFETY: as above.
            unsafe { libc::sigaction(signal, previous, ptr::null_mut()) };
        }
    }
}

/// Makes the layer the signal's disposition.
fn put(signal: c_int, layer: usize) -> io::Result<()> {
    // SAFETY: all zeroes is a valid sigaction; the handler has the type that SA_SIGINFO
    // asks for, and is async-signal-safe.
    unsafe {
        let mut action: sigaction = MaybeUninit::zeroed().assume_init();
        action.sa_sigaction = address(layer);
        // SA_ONSTACK: in a Go program a handler must run on Go's signal stack.
        action.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO | libc::SA_RESTART;
        libc::sigemptyset(&mut action.sa_mask);
        match libc::sigaction(signal, &action, ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

static HANDLERS: [Handler; LAYERS] = [
    on_signal::<0>,
    on_signal::<1>,
    on_signal::<2>,
    on_signal::<3>,
    on_signal::<4>,
    on_signal::<5>,
    on_signal::<6>,
    on_signal::<7>,
];

fn address(layer: usize) -> usize {
    HANDLERS[layer] as usize
}

fn layer_of(handler: usize) -> Option<usize> {
    (0..LAYERS).find(|&layer| address(layer) == handler)
}

/// Whether the layer is the signal's disposition. Async-signal-safe.
fn is_current(signal: c_int, layer: usize) -> bool {
    disposition(signal).is_ok_and(|current| current.sa_sigaction == address(layer))
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
    // Only flags that a program can set: the C library adds SA_RESTORER.
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

/// Restores errno for the code that the handler interrupted.
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
    #[cfg(target_os = "android")]
    // SAFETY: always valid.
    return unsafe { libc::__errno() };
    #[cfg(not(any(
        target_os = "macos",
        target_os = "freebsd",
        target_os = "ios",
        target_os = "android"
    )))]
    // SAFETY: always valid.
    return unsafe { libc::__errno_location() };
}

/// What becomes of a signal that came.
enum Fate {
    /// The listeners have it, and nobody else gets it.
    Absorbed,
    /// The listeners have it, and the handler that was there before is called too.
    Chained,
    /// It goes to the disposition that was there before.
    PassedOn,
    /// It is a second Ctrl-C, and goes there too. By default it ends the process.
    Pressed,
}

/// Async-signal-safe throughout: atomics, getpid, the clock, write, sigaction,
/// raise.
extern "C" fn on_signal<const LAYER: usize>(
    signal: c_int,
    info: *mut siginfo_t,
    context: *mut c_void,
) {
    let _errno = KeepErrno::new();
    let slot = &SLOTS[signal as usize];
    let fate = tell(slot, signal, LAYER);
    if matches!(fate, Fate::Absorbed) {
        return;
    }
    // SAFETY: null, or a sigaction that is never freed.
    let Some(previous) = (unsafe { slot.previous[LAYER].load(SeqCst).as_ref() }) else {
        return;
    };
    match previous.sa_sigaction {
        libc::SIG_IGN => {}
        libc::SIG_DFL => {
            // If another component's handler is installed over this one, that handler
            // has called this one, and decides what the signal does.
            if !matches!(fate, Fate::Chained) && is_current(signal, LAYER) {
                // The kernel drops what would end process 1 by a default action
                // (pid_namespaces(7)): Ctrl-C could not end a container.
                if matches!(fate, Fate::Pressed) && id() == 1 {
                    // SAFETY: async-signal-safe.
                    unsafe { libc::_exit(128 + signal) };
                }
                slot.restore(signal, LAYER);
                // SAFETY: async-signal-safe. The signal is blocked while its
                // handler runs, and acts when it returns.
                unsafe { libc::raise(signal) };
            }
        }
        // SAFETY: the address is the handler that the program installed, of the type
        // that its flags say.
        handler => unsafe {
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                std::mem::transmute::<usize, Handler>(handler)(signal, info, context);
            } else {
                std::mem::transmute::<usize, extern "C" fn(c_int)>(handler)(signal);
            }
        },
    }
}

/// Tells the listeners of a signal that a layer was called with.
fn tell(slot: &Slot, signal: c_int, layer: usize) -> Fate {
    if OWNER.load(SeqCst) != id() || slot.active.load(SeqCst) != layer + 1 {
        return Fate::PassedOn;
    }
    let (mut any, mut again, mut chain) = (false, true, false);
    // Counted before a node is read: `end` waits until the count is 0.
    INSIDE.fetch_add(1, SeqCst);
    for node in Node::all().filter(|node| node.wanted.load(SeqCst) & bit(signal) != 0) {
        any = true;
        again &= node.note(signal);
        chain |= node.chain.load(SeqCst);
    }
    INSIDE.fetch_sub(1, SeqCst);
    match (any, again, chain) {
        (false, ..) => Fate::PassedOn,
        (_, true, _) => {
            slot.passed_on.store(true, SeqCst);
            Fate::Pressed
        }
        (_, _, true) => Fate::Chained,
        _ => Fate::Absorbed,
    }
}
