//! `sys/thread.rs` under the model: the same names, for threads of shuttle's.
//! They run on stacks of its own; that no two are given the same one at a time
//! is checked.

use crate::sync::atomic::{AtomicBool, Ordering::SeqCst};
use crate::sync::thread_local;
use shuttle::thread::JoinHandle;
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::ffi::c_void;
use std::ptr;
use std::sync::{Arc, OnceLock};

pub type Id = u64;
pub type Start = extern "C-unwind" fn(*mut c_void) -> *mut c_void;
pub type Destructor = extern "C" fn(*mut c_void);
pub const NAME: usize = 16;

pub const ROUNDS: u8 = 3;

/// The library has one only.
#[derive(Clone, Copy)]
pub struct Key;

/// A share of it. Who ends when there is none is heard by nobody.
#[derive(Debug)]
pub struct KeyShare;

struct Handle {
    thread: JoinHandle<()>,
    ended: Arc<AtomicBool>,
}

std::thread_local! {
    static LAST: Cell<Id> = const { Cell::new(0) };
    static HANDLES: RefCell<HashMap<Id, Handle>> = RefCell::default();
    static STACKS: RefCell<HashSet<usize>> = RefCell::default();
    /// How many threads have not ended.
    static LIVE: Cell<usize> = const { Cell::new(0) };
    static SHARES: Cell<usize> = const { Cell::new(0) };
    /// How many threads may still be made.
    static LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
}

static DESTRUCTOR: OnceLock<Destructor> = OnceLock::new();

thread_local! {
    static VALUE: Cell<*mut c_void> = const { Cell::new(ptr::null_mut()) };
}

pub unsafe fn create(
    start: Start,
    argument: *mut c_void,
    lowest: Option<*mut c_void>,
    _size: usize,
) -> Result<Id, i32> {
    LEFT.set(LEFT.get().checked_sub(1).ok_or(libc::EAGAIN)?);
    let argument = argument.expose_provenance();
    let lowest = lowest.map(|lowest| lowest.addr());
    if let Some(lowest) = lowest {
        let fresh = STACKS.with_borrow_mut(|stacks| stacks.insert(lowest));
        assert!(fresh, "two threads on one stack");
    }
    let ended = Arc::new(AtomicBool::new(false));
    let end = ended.clone();
    LIVE.set(LIVE.get() + 1);
    let thread = shuttle::thread::spawn(move || {
        start(ptr::with_exposed_provenance_mut(argument));
        loop {
            let value = VALUE.with(|value| value.replace(ptr::null_mut()));
            let Some(destructor) = DESTRUCTOR.get() else {
                break;
            };
            if value.is_null() || SHARES.get() == 0 {
                break;
            }
            destructor(value);
        }
        if let Some(lowest) = lowest {
            STACKS.with_borrow_mut(|stacks| stacks.remove(&lowest));
        }
        LIVE.set(LIVE.get() - 1);
        end.store(true, SeqCst);
    });
    let id = LAST.get() + 1;
    LAST.set(id);
    HANDLES.with_borrow_mut(|handles| handles.insert(id, Handle { thread, ended }));
    Ok(id)
}

fn take(id: Id) -> Handle {
    let handle = HANDLES.with_borrow_mut(|handles| handles.remove(&id));
    handle.expect("a thread that is joined or detached twice")
}

pub unsafe fn join(id: Id) {
    take(id).thread.join().expect("a thread that panicked");
}

pub unsafe fn detach(id: Id) {
    drop(take(id));
}

pub unsafe fn try_join(id: Id) -> bool {
    let ended = HANDLES.with_borrow(|handles| handles[&id].ended.clone());
    let ended = ended.load(SeqCst);
    if ended {
        drop(take(id));
    }
    ended
}

impl KeyShare {
    pub fn new(destructor: Destructor) -> Option<KeyShare> {
        DESTRUCTOR.get_or_init(|| destructor);
        SHARES.set(SHARES.get() + 1);
        Some(KeyShare)
    }

    pub fn key(&self) -> Key {
        Key
    }
}

impl Drop for KeyShare {
    fn drop(&mut self) {
        SHARES.set(SHARES.get() - 1);
    }
}

pub fn set(Key: Key, value: *mut c_void) -> bool {
    VALUE.with(|mine| mine.set(value));
    true
}

pub fn set_name(_: &[u8; NAME]) {}

// ---- for the tests ----------------------------------------------------------

/// From now on only so many threads can be made.
pub fn limit(threads: usize) {
    LEFT.set(threads);
}

/// Before a schedule: of one that failed, threads may be left.
pub fn begin() {
    limit(usize::MAX);
    LIVE.set(0);
}

/// How many threads have not ended, those included that were let go.
pub fn live() -> usize {
    LIVE.get()
}

/// How many threads are neither joined nor detached; none, once all is over.
pub fn handles() -> usize {
    HANDLES.with_borrow(HashMap::len)
}
