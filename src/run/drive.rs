//! The driver: what wakes it, and its loop, which carries out the machine's
//! steps. The thread in `rg_run` is in the loop, or after `rg_start` a thread of
//! the library's; a host with a loop of its own goes through it by
//! `rg_drive_next`.

use super::core::{Core, State};
use super::inbox::{Caller, Post};
use super::threads;
use crate::error::Error;
use crate::machine::{Event, Message, NO_MESSAGE, Nanos, Outcome, Step};
use crate::sync::atomic::Ordering::{Relaxed, SeqCst};
use crate::sync::{Arc, Time, after};
use crate::sys::event::Event as Descriptor;
use crate::sys::unwind::uncancelled;
use std::os::fd::RawFd;
use std::time::Duration;

impl Core {
    // ---- what happens ---------------------------------------------------------

    /// Posts the return of an actor that the library runs. Never waits. True: the
    /// driver was woken.
    pub fn post(&self, post: Post, outcome: Outcome) -> Result<bool, Error> {
        self.post_as(Caller::Own, post, outcome)
    }

    fn post_as(&self, caller: Caller, post: Post, outcome: Outcome) -> Result<bool, Error> {
        let wake = self.inbox.post(post, caller, outcome)?;
        // An execute that returns ends the group, whichever it is.
        let ends = matches!(post, Post::Execute(_) | Post::First | Post::Stop);
        if ends && !self.stop.is_set() {
            self.stop.set();
        }
        if wake {
            self.wake();
        }
        Ok(wake)
    }

    /// An actor's execute has returned; its thread posts that at its end. The first is
    /// posted now as well: the destructors of the thread's data might wait for what
    /// only the group's stop brings about.
    pub fn returning(&self, index: usize, outcome: &Outcome) {
        self.inbox.ending(Post::Execute(index));
        if !self.stop.is_set() && self.inbox.claim_first(index) {
            let _ = self.post(Post::First, outcome.copy());
        }
    }

    /// Posts the return of an actor that the host runs. After this post the run may be
    /// over, and the host's handle freed. `host_share` holds the group until the last
    /// such post has counted itself, after which nothing of the group is touched.
    pub fn host_post(&self, post: Post, outcome: Outcome) -> Result<bool, Error> {
        let wake = self.post_as(Caller::Host, post, outcome)?;
        if self.host_owes.fetch_sub(1, SeqCst) == 1 {
            // No other thread takes this lock: the run has begun, and this is the last post.
            let share = self
                .host_share
                .try_lock()
                .and_then(|mut share| share.take());
            drop(share);
        }
        Ok(wake)
    }

    /// Stops the group from outside (rule 9). When this returns, the group is seen to
    /// be stopping, even if another cause came first.
    pub fn stop(&self, code: i32) -> Result<(), Error> {
        self.must_be_ours()?;
        let _ = self.post(Post::Stop, Outcome::code(code));
        self.stop.set();
        Ok(())
    }

    /// Wakes the driver. Never waits.
    pub(super) fn wake(&self) {
        self.wakes.add(1);
        if let Some(event) = Descriptor::made(&self.wake_event) {
            event.signal();
        }
    }

    // ---- the loop ---------------------------------------------------------------

    /// Carries out the run on this thread, and gives its code.
    pub(super) fn drive(self: &Arc<Self>) -> i32 {
        loop {
            // Read before the state: an event that comes after this changes the number,
            // and the wait below returns at once.
            let seen = self.wakes.get();
            match self.next() {
                // Only where the host drives.
                Step::Start(_) | Step::Interrupt(_) => {}
                Step::Wait(until) => {
                    self.wakes.wait_past(seen, self.deadline(until));
                }
                Step::Finish(code) => return code,
            }
        }
    }

    /// Carries out the steps that are the library's, and gives the first that is not: a
    /// wait, the end, or the interrupt of an actor that the host runs.
    pub fn next(self: &Arc<Self>) -> Step {
        loop {
            let mut state = self.state();
            if state.machine.observed_apart() {
                if state.machine.has_events() {
                    self.events.add(1);
                }
            } else if let Some(event) = state.machine.next_event() {
                drop(state);
                uncancelled(|| self.tell(event));
                continue;
            }
            let step = match state.pending.take() {
                Some(step) => step,
                None => {
                    let step = self.step(&mut state);
                    if state.machine.has_events() && !state.machine.observed_apart() {
                        // The observer is called with a step's event before the step.
                        state.pending = Some(step);
                        continue;
                    }
                    step
                }
            };
            match step {
                Step::Start(index) => {
                    self.inbox.arm(Post::Start(index), Caller::Own);
                    drop(state);
                    self.make_call(Post::Start(index));
                }
                Step::Interrupt(index) => {
                    let hosted = !self.has_own.load(Relaxed) || self.actors.lock()[index].is_none();
                    let caller = if hosted { Caller::Host } else { Caller::Own };
                    self.inbox.arm(Post::Interrupt(index), caller);
                    let told = std::mem::replace(&mut state.stop_told, true);
                    drop(state);
                    // Whoever has set it may not have come to its descriptor yet.
                    if !told {
                        self.stop.set();
                    }
                    if hosted {
                        return step;
                    }
                    self.make_call(Post::Interrupt(index));
                }
                Step::Wait(_) => {
                    if !self.inbox.wait_for(state.machine.awaited()) {
                        continue;
                    }
                    return step;
                }
                Step::Finish(_) => {
                    // A late report must not have the host ask a group that it
                    // has freed.
                    self.inbox.wait_for_nothing();
                    drop(state);
                    let code = self.finish_telling();
                    if self.has_own.load(Relaxed) {
                        uncancelled(|| self.gather());
                    }
                    return Step::Finish(code);
                }
            }
        }
    }

    /// Waits until the observer has been called with the last events: an observer with
    /// a thread has what is left of the grace, or a moment. Gives the run's code.
    fn finish_telling(&self) -> i32 {
        loop {
            let seen = self.wakes.get();
            let mut state = self.state();
            self.events.add(1);
            let code = state.machine.finished().unwrap_or_default();
            if state.machine.observer_stuck() || state.machine.all_told() {
                return code;
            }
            let end = state.last_moment();
            if end.is_some_and(|end| state.now() >= end) {
                state.machine.observer_overran();
                continue;
            }
            drop(state);
            self.wakes.wait_past(seen, self.deadline(end));
        }
    }

    /// On the observer's thread, until the run is over.
    pub(super) fn observe_events(&self) {
        loop {
            let seen = self.events.get();
            let mut state = self.state();
            let event = state.machine.tell();
            let over = state.machine.finished().is_some();
            drop(state);
            match event {
                Some(event) => {
                    self.tell(event);
                    let mut state = self.state();
                    state.machine.told();
                    if state.machine.all_told() {
                        drop(state);
                        self.wake();
                    }
                }
                None if over => return,
                None => self.events.wait_past(seen, None),
            }
        }
    }

    /// Has the observer called, on its own thread or on this one.
    fn tell(&self, event: Event) {
        let observer = *self.observer.lock();
        if let Some(observer) = observer {
            let (actor, message) = self.texts(event);
            observer.call(event, actor, message);
        }
    }

    fn step(&self, state: &mut State) -> Step {
        // Before stopping, the machine does not look at the time.
        let now = match state.machine.cause() {
            Some(_) => state.now_at_last(),
            None => 0,
        };
        if state
            .machine
            .deadline()
            .is_some_and(|deadline| now >= deadline)
        {
            for index in 0..state.machine.records().len() {
                if self.inbox.is_ending(Post::Execute(index)) {
                    state.machine.ending(index);
                }
            }
        }
        state.machine.next(now)
    }

    /// Calls the starts on this thread.
    pub(super) fn call_starts(self: &Arc<Self>) {
        loop {
            let mut state = self.state();
            let now = state.now();
            let Some(index) = state.machine.next_start(now) else {
                return;
            };
            self.inbox.arm(Post::Start(index), Caller::Own);
            drop(state);
            threads::as_inside(self, || self.make_call(Post::Start(index)));
        }
    }

    /// Has a start or an interrupt called: here, or on a thread of its own.
    fn make_call(self: &Arc<Self>, post: Post) {
        // A signal actor's interrupt is the library's own, and does not block.
        let own = |index: usize| {
            let actors = self.actors.lock();
            actors[index]
                .as_ref()
                .is_some_and(|actor| actor.listener().is_some())
        };
        let direct =
            !self.bounded.load(Relaxed) || matches!(post, Post::Interrupt(index) if own(index));
        if direct {
            let complaint = self.call(post, || {});
            let _ = self.post(post, Outcome::complaint(complaint));
        } else if !self.interrupter.push(post) {
            // Without a thread to be had, one that hangs makes the call when it is
            // free again. The driver must not make it: it would hang as well.
            let _ = self.threads.lock().interrupter(self);
        }
    }

    /// Calls it on this thread, just after `entered`, and gives its complaint.
    pub(super) fn call(self: &Arc<Self>, post: Post, entered: impl FnOnce()) -> Message {
        let actor = |index: usize| {
            let actors = self.actors.lock();
            actors[index]
                .as_deref()
                .map(|actor| (std::ptr::from_ref(actor), actor.calls))
        };
        match post {
            Post::Start(index) => {
                if let Some((actor, _)) = actor(index) {
                    entered();
                    threads::call_start(self, actor);
                }
                NO_MESSAGE
            }
            Post::Interrupt(index) => actor(index).map_or(NO_MESSAGE, |(_, calls)| {
                let cause = self.cause();
                entered();
                threads::call_interrupt(calls, cause)
            }),
            Post::First | Post::Execute(_) | Post::Stop => NO_MESSAGE,
        }
    }

    /// How long it is until this time of the machine's; `None`: for ever.
    pub fn left(&self, until: Option<Nanos>) -> Option<Duration> {
        let until = until?;
        let now = self.state.lock().now();
        Some(Duration::from_nanos(until.saturating_sub(now)))
    }

    /// This time of the machine's, as a deadline of a wait; `None`: for ever.
    pub(super) fn deadline(&self, until: Option<Nanos>) -> Option<Time> {
        self.left(until).and_then(after)
    }

    // ---- for a host that drives ------------------------------------------------

    /// The next step that is the host's to carry out, without waiting.
    pub fn host_next(self: &Arc<Self>) -> Result<Step, Error> {
        self.must_be_driven()?;
        let drain = || Descriptor::made(&self.wake_event).is_some_and(Descriptor::drain);
        loop {
            let next = self.next();
            match next {
                // What made the descriptor readable may have come after the look: so it
                // looks again. What comes later makes it readable again.
                Step::Wait(_) if drain() => {}
                Step::Finish(_) => {
                    drain();
                    // With a share: as soon as it is set, another thread may free the
                    // handle.
                    self.clone().over.set();
                    return Ok(next);
                }
                _ => return Ok(next),
            }
        }
    }

    /// A descriptor that is readable when [`Core::host_next`] has something new to
    /// say.
    pub fn wake_fd(&self) -> Result<RawFd, Error> {
        let made = self.wake_event.get().is_none();
        let event = Descriptor::once(&self.wake_event)?;
        if made {
            // Events that came before the descriptor was made.
            event.signal();
        }
        Ok(event.fd())
    }
}
