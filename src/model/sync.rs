//! `sync.rs` under the model: the same names, each a point at which shuttle may
//! let another thread go on. Time stands still until somebody lets it pass.

use shuttle::future::block_on;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Poll, Waker};
use std::time::Duration;

pub use shuttle::sync::atomic;
pub use shuttle::thread_local;
pub use std::sync::atomic as unmodelled;
pub use std::sync::{Arc, OnceLock, Weak};

/// See `sync.rs`.
#[derive(Debug, Default)]
pub struct Mutex<T>(shuttle::sync::Mutex<T>);

/// A lock that is held.
#[derive(Debug)]
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
    guard: Option<shuttle::sync::MutexGuard<'a, T>>,
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.guard = None;
        // Others may come between this and what follows without a lock.
        if !std::thread::panicking() {
            shuttle::thread::sleep(Duration::ZERO);
        }
    }
}

impl<T> Mutex<T> {
    pub const fn new(value: T) -> Self {
        Mutex(shuttle::sync::Mutex::new(value))
    }

    pub fn lock(&self) -> MutexGuard<'_, T> {
        let guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        MutexGuard::new(self, guard)
    }

    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        let guard = self.0.try_lock().ok()?;
        Some(MutexGuard::new(self, guard))
    }
}

impl<'a, T> MutexGuard<'a, T> {
    fn new(mutex: &'a Mutex<T>, guard: shuttle::sync::MutexGuard<'a, T>) -> Self {
        let guard = Some(guard);
        MutexGuard { mutex, guard }
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.guard.as_ref().expect("held until it is dropped")
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.guard.as_mut().expect("held until it is dropped")
    }
}

/// See `sync.rs`. Who waits is in `SLEEPERS`; nobody wakes without a reason, so
/// that a wake-up that is lost is seen.
#[derive(Debug, Default)]
pub struct Condvar {
    /// For an address of its own.
    _place: u8,
}

struct Sleeper {
    at: usize,
    until: Option<Time>,
    awake: Rc<Wake>,
}

/// A sleep that ends once, whichever comes first.
#[derive(Default)]
struct Wake {
    over: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Wake {
    fn up(&self) {
        self.over.set(true);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn sleep(&self) {
        block_on(poll_fn(|context| {
            if self.over.get() {
                return Poll::Ready(());
            }
            self.waker.replace(Some(context.waker().clone()));
            Poll::Pending
        }));
    }
}

/// Nobody's clock says nought.
const BEGIN: Time = 1;

// All threads of a model run on one, so that this is shared by them.
std::thread_local! {
    static NOW: Cell<Time> = const { Cell::new(BEGIN) };
    static SLEEPERS: RefCell<Vec<Sleeper>> = const { RefCell::new(Vec::new()) };
    static CLOCK: RefCell<Option<Rc<Wake>>> = const { RefCell::new(None) };
}

impl Condvar {
    pub fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        deadline: Option<Time>,
    ) -> MutexGuard<'a, T> {
        let mutex = guard.mutex;
        shuttle::thread::sleep(Duration::ZERO); // others may come first
        if deadline.is_none_or(|deadline| deadline > now()) {
            // On the list before the lock is free.
            let awake = sleep(self.at(), deadline);
            drop(guard);
            awake.sleep();
        } else {
            drop(guard);
        }
        mutex.lock()
    }

    pub fn notify_one(&self) {
        shuttle::thread::sleep(Duration::ZERO); // others may come first
        let first = SLEEPERS.with_borrow_mut(|sleepers| {
            let first = sleepers.iter().position(|sleeper| sleeper.at == self.at());
            first.map(|first| sleepers.remove(first))
        });
        first.iter().for_each(|first| first.awake.up());
    }

    pub fn notify_all(&self) {
        shuttle::thread::sleep(Duration::ZERO);
        wake(|sleeper| sleeper.at == self.at());
    }

    fn at(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

/// Puts this thread on the list, which then is to sleep.
fn sleep(at: usize, until: Option<Time>) -> Rc<Wake> {
    let awake = Rc::new(Wake::default());
    SLEEPERS.with_borrow_mut(|sleepers| {
        let awake = awake.clone();
        sleepers.push(Sleeper { at, until, awake });
    });
    if until.is_some() {
        ring();
    }
    awake
}

fn wake(mut which: impl FnMut(&Sleeper) -> bool) {
    let woken: Vec<Sleeper> =
        SLEEPERS.with_borrow_mut(|sleepers| sleepers.extract_if(.., |s| which(s)).collect());
    woken.iter().for_each(|sleeper| sleeper.awake.up());
}

/// See `sync.rs`.
pub type Time = u64;

/// See `sync.rs`.
pub fn now() -> Time {
    NOW.get()
}

/// See `sync.rs`.
pub fn after(wait: Duration) -> Option<Time> {
    now().checked_add(u64::try_from(wait.as_nanos()).ok()?)
}

/// A descriptor was made readable: who polls looks again.
pub fn signalled() {
    wake(|sleeper| sleeper.at == POLLS);
}

/// Where those sleep who poll: no address of anything.
const POLLS: usize = 1;

// ---- for the tests ----------------------------------------------------------

/// A thread that lets the time pass: `jumps` times at any moment by `step`, and
/// then whenever somebody waits for a time, which may come at any later moment.
pub struct Clock {
    over: Arc<AtomicBool>,
    thread: shuttle::thread::JoinHandle<()>,
}

impl Clock {
    pub fn start(jumps: usize, step: Duration) -> Self {
        NOW.set(BEGIN);
        let over = Arc::new(AtomicBool::new(false));
        let end = over.clone();
        let thread = shuttle::thread::spawn(move || {
            for _ in 0..jumps {
                shuttle::thread::sleep(Duration::ZERO);
                pass(after(step));
            }
            while !end.load(SeqCst) {
                let next =
                    SLEEPERS.with_borrow(|sleepers| sleepers.iter().filter_map(|s| s.until).min());
                if next.is_some() {
                    pass(next);
                    // Not for ever before somebody who waits for no time.
                    shuttle::thread::yield_now();
                } else {
                    let bell = Rc::new(Wake::default());
                    CLOCK.set(Some(bell.clone()));
                    bell.sleep();
                }
            }
        });
        Clock { over, thread }
    }

    /// Once nobody needs it any more: threads that were let go may still wait for a
    /// time.
    pub fn stop(self) {
        while crate::sys::thread::live() > 0 {
            shuttle::thread::yield_now();
        }
        self.over.store(true, SeqCst);
        ring();
        let _ = self.thread.join();
    }
}

/// Tells the clock that somebody waits for a time.
fn ring() {
    if let Some(bell) = CLOCK.take() {
        bell.up();
    }
}

fn pass(until: Option<Time>) {
    let now = until.unwrap_or_default().max(now());
    NOW.set(now);
    wake(|sleeper| sleeper.until.is_some_and(|until| until <= now));
}

/// poll(2): returns when it is ready, or at the deadline.
pub fn poll(ready: impl Fn() -> bool, deadline: Option<Time>) {
    while !ready() && deadline.is_none_or(|deadline| now() < deadline) {
        sleep(POLLS, deadline).sleep();
    }
}

/// How many sleep; none, once all is over.
pub fn sleepers() -> usize {
    SLEEPERS.with_borrow(Vec::len)
}
