//! Threads that call the interrupts, so that one that blocks does not hold up
//! the driver (rule 10). One helper calls them all as long as each returns in
//! time; when one overruns its share, a fresh helper takes the rest.

use super::thread::{Job, Thread};
use super::{DEFAULT_STACK, Shared};
use crate::error::Error;
use crate::sync::{Arc, Condvar, Mutex};

/// Shared between the driver and one helper.
pub type HelperRef = Arc<Helper>;

/// What a helper has to do.
#[derive(Debug, Default)]
pub struct Helper {
    desk: Mutex<Desk>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Desk {
    posted: Option<usize>,
    busy: bool,
    /// No more work will come, or nobody is there to do it.
    closed: bool,
}

impl Helper {
    /// On the helper's thread: the next actor to interrupt, or `None`: leave.
    pub fn next(&self) -> Option<usize> {
        let mut desk = self.desk.lock();
        loop {
            if let Some(index) = desk.posted.take() {
                return Some(index);
            }
            if desk.closed {
                return None;
            }
            desk = self.changed.wait(desk, None);
        }
    }

    /// On the helper's thread: the interrupt returned. Comes before the
    /// machine is told, so that the driver finds this helper free.
    pub fn free(&self) {
        self.desk.lock().busy = false;
    }

    /// On the helper's thread: it ends in the middle of an interrupt.
    pub fn lost(&self) {
        let mut desk = self.desk.lock();
        desk.busy = false;
        desk.closed = true;
    }

    fn post(&self, index: usize) -> bool {
        let mut desk = self.desk.lock();
        if desk.busy || desk.closed {
            return false;
        }
        desk.busy = true;
        desk.posted = Some(index);
        self.changed.notify_one();
        true
    }

    fn close(&self) {
        self.desk.lock().closed = true;
        self.changed.notify_one();
    }

    fn busy(&self) -> bool {
        self.desk.lock().busy
    }
}

/// The helpers of a run; the last is the one that takes work.
pub struct Helpers {
    all: Vec<(HelperRef, Thread)>,
}

impl Helpers {
    /// One helper, made before anything starts: at the stop there may be no
    /// thread left to be had.
    pub fn new(shared: &Arc<Shared>) -> Result<Self, Error> {
        let mut helpers = Helpers { all: Vec::new() };
        helpers.hire(shared)?;
        Ok(helpers)
    }

    fn hire(&mut self, shared: &Arc<Shared>) -> Result<(), Error> {
        let helper = HelperRef::default();
        let thread = Thread::spawn(
            Job::helper(shared.clone(), helper.clone()),
            DEFAULT_STACK,
            None,
        )?;
        self.all.push((helper, thread));
        Ok(())
    }

    /// Has the actor interrupted. False if that takes another helper and no
    /// thread is to be had: then the driver calls it, since an interrupt that
    /// is late beats one that never comes.
    pub fn post(&mut self, shared: &Arc<Shared>, index: usize) -> bool {
        if self
            .all
            .last()
            .is_some_and(|(helper, _)| helper.post(index))
        {
            return true;
        }
        if let Some((helper, _)) = self.all.last() {
            helper.close();
        }
        self.hire(shared).is_ok()
            && self
                .all
                .last()
                .is_some_and(|(helper, _)| helper.post(index))
    }

    /// Sends the helpers home; those with a stuck interrupt go when it returns.
    pub fn finish(self) {
        for (helper, thread) in self.all {
            helper.close();
            if helper.busy() {
                thread.detach();
            } else {
                thread.join();
            }
        }
    }
}
