//! The only way in for what happens to actors: executes, starts and interrupts
//! that return, and stops from outside.
//!
//! Each of them has a *slot*, made when the run begins. The thread in which it happens
//! fills the slot and pushes the slot's number on a stack; a thread that holds the lock
//! of the group's state takes the whole stack and reports to the machine, oldest first.
//! So the order of posts is the order of events, and the first post is the cause.
//!
//! A post takes no lock, allocates nothing and touches no thread-local: it is
//! made in the destructor of a `pthread_key`, where a thread is nearly gone. (A
//! slot's message is in a lock that no thread ever waits for: only the poster uses it
//! before the push, and only the thread that takes the stack after it.)

use crate::error::Error;
use crate::machine::{Awaited, Message, NO_MESSAGE, Outcome};
use crate::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use crate::sync::atomic::{AtomicI32, AtomicU8, AtomicU32, AtomicU64, AtomicUsize};
use crate::sync::{Mutex, OnceLock, Time, now};
use crate::sys::memory::try_box;
use crate::sys::tsan;

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Post {
    /// The group was stopped from outside.
    Stop,
    /// An execute was the first to return: the one that [`Inbox::claim_first`] has
    /// noted. `Execute` follows at its thread's end.
    First,
    /// This actor's start returned.
    Start(usize),
    /// This actor's execute returned and its thread ended, or an async actor completed.
    Execute(usize),
    /// This actor's interrupt returned.
    Interrupt(usize),
}

impl Post {
    /// The slot's number. Every actor has two slots; the slot of a start, which async
    /// actors have besides, is numbered apart.
    /// The actor's index is below [`MOST`]: no more slots are made.
    fn number(self) -> u32 {
        let (index, kind) = match self {
            Post::Stop => return STOP,
            Post::First => return FIRST_RETURN,
            Post::Start(index) => (index, START),
            Post::Execute(index) => (index, 0),
            Post::Interrupt(index) => (index, 1),
        };
        (2 * index as u32) | kind
    }

    fn of(number: u32) -> Post {
        let index = ((number & !START) / 2) as usize;
        match number {
            _ if number & START == 0 && number & 1 == 0 => Post::Execute(index),
            _ if number & START == 0 => Post::Interrupt(index),
            STOP => Post::Stop,
            FIRST_RETURN => Post::First,
            _ => Post::Start(index),
        }
    }
}

/// The bit that marks the slot of a start.
const START: u32 = 1 << 31;
/// How many actors a group can have: some hundred million.
const MOST: usize = 1 << 28;
/// The slot of a stop from outside.
const STOP: u32 = u32::MAX - 3;
/// The slot of the first return.
const FIRST_RETURN: u32 = u32::MAX - 4;
/// In [`Inbox::first_actor`]: none yet.
const NOBODY: usize = usize::MAX;
/// No slot: the end of the stack, and a driver that waits for nothing.
const NONE: u32 = u32::MAX;
/// In [`Inbox::awaited`]: any post.
const ANY: u32 = u32::MAX - 1;
/// In [`Inbox::awaited`]: the last post.
const LAST: u32 = u32::MAX - 2;

/// A slot's life: each state follows the one before it, or is left out.
mod state {
    /// Not called, so that there is nothing to post.
    pub const IDLE: u8 = 0;
    /// Called by the library, and not posted.
    pub const OWN: u8 = 1;
    /// The execute has returned, and its thread is about to end.
    pub const ENDING: u8 = 2;
    /// Called by the host, and not posted.
    pub const HOSTED: u8 = 3;
    /// Posted, which happens once.
    pub const POSTED: u8 = 4;
    /// Posted with a message.
    pub const SAID: u8 = 5;
}

/// Who calls, and so who may post.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The library.
    Own,
    /// A host that drives.
    Host,
}

#[derive(Debug)]
struct Slot {
    /// One of the states above.
    state: AtomicU8,
    /// The slot below it on the stack.
    next: AtomicU32,
    code: AtomicI32,
    at: AtomicU64,
    message: Mutex<Message>,
}

impl Slot {
    const fn new(state: u8) -> Self {
        Slot {
            state: AtomicU8::new(state),
            next: AtomicU32::new(NONE),
            code: AtomicI32::new(0),
            at: AtomicU64::new(0),
            message: Mutex::new(NO_MESSAGE),
        }
    }

    /// Claims the post: of several threads that try, one may make it.
    fn claim(&self, caller: Caller, posted: u8) -> Result<(), Error> {
        let may = |seen| match caller {
            Caller::Own => matches!(seen, state::OWN | state::ENDING),
            Caller::Host => seen == state::HOSTED,
        };
        self.state
            .fetch_update(AcqRel, Acquire, |seen| may(seen).then_some(posted))
            .map(drop)
            .map_err(|_| Error::State)
    }
}

/// Slots at addresses that never change, so that posts find them without a lock.
#[derive(Debug, Default)]
struct Slots {
    made: OnceLock<Box<[Slot]>>,
    /// Those of actors that were added after a start that failed.
    more: OnceLock<Box<Slots>>,
}

impl Slots {
    /// [`Error::State`] before they are made; [`Error::Invalid`] for one that there is not.
    fn get(&self, index: usize) -> Result<&Slot, Error> {
        let made = self.made.get().ok_or(Error::State)?;
        match index.checked_sub(made.len()) {
            None => Ok(&made[index]),
            Some(index) => self.more.get().ok_or(Error::Invalid)?.get(index),
        }
    }

    /// Makes this many, or what is missing of them.
    fn make(&self, count: usize) -> Result<(), Error> {
        let Some(made) = self.made.get() else {
            let mut slots = Vec::new();
            slots.try_reserve_exact(count).map_err(|_| Error::Memory)?;
            // A constant is copied. Else each slot is put together on the stack first, at
            // ten times the cost.
            slots.resize_with(count, || const { Slot::new(state::IDLE) });
            let _ = self.made.set(slots.into_boxed_slice());
            return Ok(());
        };
        let missing = count.saturating_sub(made.len());
        if missing == 0 {
            return Ok(());
        }
        if self.more.get().is_none() {
            let more = try_box(Slots::default()).ok_or(Error::Memory)?;
            let _ = self.more.set(more);
        }
        // As many again: else a program that tries again and again makes a long chain.
        let more = self.more.get().ok_or(Error::Memory)?;
        more.make(missing.max(made.len()))
    }
}

/// The posts of one group. See the module's documentation.
#[derive(Debug)]
pub struct Inbox {
    /// The slot that was pushed last; NONE: the stack is empty.
    head: AtomicU32,
    /// What the driver waits for: a slot's number, ANY, LAST or NONE. The thread that
    /// posts it puts NONE there and wakes the driver, so that one thread does.
    awaited: AtomicU32,
    /// How many slots are armed and not posted.
    left: AtomicUsize,
    stop: Slot,
    first: Slot,
    /// Whose return that is: an actor's index, or [`NOBODY`].
    first_actor: AtomicUsize,
    /// Two slots an actor: for its execute and its interrupt.
    actors: Slots,
    /// One slot an actor, for its start; none where no actor has a start.
    starts: Slots,
}

impl Default for Inbox {
    fn default() -> Self {
        Inbox {
            head: AtomicU32::new(NONE),
            awaited: AtomicU32::new(NONE),
            left: AtomicUsize::new(0),
            stop: Slot::new(state::OWN),
            first: Slot::new(state::OWN),
            first_actor: AtomicUsize::new(NOBODY),
            actors: Slots::default(),
            starts: Slots::default(),
        }
    }
}

impl Inbox {
    /// Makes the slots of this many actors, some of which have a start.
    pub fn make(&self, actors: usize, with_starts: bool) -> Result<(), Error> {
        if actors > MOST {
            return Err(Error::Memory);
        }
        self.actors.make(2 * actors)?;
        if with_starts {
            self.starts.make(actors)?;
        }
        Ok(())
    }

    fn slot(&self, post: Post) -> Option<&Slot> {
        self.find(post).ok().map(|(slot, _)| slot)
    }

    /// The slot and its number; the errors are those of [`Slots::get`].
    fn find(&self, post: Post) -> Result<(&Slot, u32), Error> {
        let (slots, index, place) = match post {
            Post::Stop => return Ok((&self.stop, STOP)),
            Post::First => return Ok((&self.first, FIRST_RETURN)),
            Post::Start(index) => (&self.starts, index, index),
            // Shifts, since a number that is no actor's may be too large to be doubled.
            Post::Execute(index) => (&self.actors, index, index << 1),
            Post::Interrupt(index) => (&self.actors, index, (index << 1) | 1),
        };
        let slot = slots.get(place)?;
        if index >= MOST {
            return Err(Error::Invalid);
        }
        Ok((slot, post.number()))
    }

    /// The slot of this number; `None`: it was not made.
    fn numbered(&self, number: u32) -> Option<&Slot> {
        match number {
            _ if number & START == 0 => self.actors.get(number as usize).ok(),
            STOP => Some(&self.stop),
            FIRST_RETURN => Some(&self.first),
            _ => self.starts.get(((number & !START) / 2) as usize).ok(),
        }
    }

    /// How many posts are still expected. The last of them wakes the driver.
    pub fn expect(&self, posts: usize) {
        self.left.store(posts, SeqCst);
    }

    /// The call is about to be made, so that its return may be posted.
    pub fn arm(&self, post: Post, caller: Caller) {
        let armed = match caller {
            Caller::Own => state::OWN,
            Caller::Host => state::HOSTED,
        };
        if let Some(slot) = self.slot(post) {
            slot.state.store(armed, Release);
        }
    }

    /// The call was not made after all, so that there is nothing to post.
    pub fn disarm(&self, post: Post) {
        if let Some(slot) = self.slot(post) {
            slot.state.store(state::IDLE, Release);
        }
    }

    /// The execute has returned; the post follows at its thread's end.
    pub fn ending(&self, post: Post) {
        if let Some(slot) = self.slot(post) {
            slot.state.store(state::ENDING, Release);
        }
    }

    /// Of several executes that return, one may post [`Post::First`]: whether it is this
    /// one.
    pub fn claim_first(&self, index: usize) -> bool {
        self.first_actor
            .compare_exchange(NOBODY, index, Relaxed, Relaxed)
            .is_ok()
    }

    /// Whose return [`Post::First`] is.
    pub fn first_actor(&self) -> usize {
        self.first_actor.load(Relaxed)
    }

    /// Whether [`Inbox::ending`] was called for this slot, and nothing was posted.
    pub fn is_ending(&self, post: Post) -> bool {
        self.slot(post)
            .is_some_and(|slot| slot.state.load(Acquire) == state::ENDING)
    }

    /// Whether it was posted.
    pub fn is_posted(&self, post: Post) -> bool {
        self.slot(post)
            .is_some_and(|slot| slot.state.load(Acquire) >= state::POSTED)
    }

    /// Posts that it happened, now. True: the caller must wake the driver.
    /// [`Error::State`] if it was not called, or was posted before; [`Error::Invalid`] if
    /// there is no such actor.
    ///
    /// Never waits. After the last post the group may be gone, unless the caller
    /// has a share of it.
    pub fn post(&self, post: Post, caller: Caller, outcome: Outcome) -> Result<bool, Error> {
        let (slot, number) = self.find(post)?;
        let says = !outcome.message.is_empty();
        slot.claim(caller, if says { state::SAID } else { state::POSTED })?;
        slot.code.store(outcome.code, Relaxed);
        slot.at.store(now(), Relaxed);
        if says && let Some(mut message) = slot.message.try_lock() {
            *message = outcome.message;
        }
        tsan::release(self);
        let mut head = self.head.load(Relaxed);
        loop {
            slot.next.store(head, Relaxed);
            // Release, for the slot's contents. Sequentially consistent, since
            // the look at `awaited` below must come after it, as the driver's look
            // at the stack comes after its word on what it waits for: one of the
            // two sees the other, or a wake-up would be lost.
            match self
                .head
                .compare_exchange_weak(head, number, SeqCst, Relaxed)
            {
                Ok(_) => break,
                Err(now) => head = now,
            }
        }
        let expected = !matches!(post, Post::Stop | Post::First);
        let last = expected && self.left.fetch_sub(1, SeqCst) == 1;
        let awaited = self.awaited.load(SeqCst);
        let wake = match awaited {
            ANY => true,
            LAST => last,
            _ => awaited == number,
        };
        Ok(wake
            && self
                .awaited
                .compare_exchange(awaited, NONE, SeqCst, Relaxed)
                .is_ok())
    }

    /// Sets what the driver waits for. False: there are posts that the driver has not
    /// taken, so that it must not wait. Only under the lock of the group's
    /// state: another thread that took the posts between the two looks would
    /// leave the driver asleep.
    pub fn wait_for(&self, awaited: Awaited) -> bool {
        let awaited = match awaited {
            Awaited::Any => ANY,
            Awaited::Last => LAST,
            Awaited::Start(index) => Post::Start(index).number(),
            Awaited::Execute(index) => Post::Execute(index).number(),
            Awaited::Interrupt(index) => Post::Interrupt(index).number(),
        };
        self.awaited.store(awaited, SeqCst);
        self.is_empty()
    }

    /// The run is over: no later post wakes anybody.
    pub fn wait_for_nothing(&self) {
        self.awaited.store(NONE, SeqCst);
    }

    /// Whether there are posts to take.
    pub fn is_empty(&self) -> bool {
        self.head.load(SeqCst) == NONE
    }

    /// Takes the posts, oldest first. Only under the lock of the group's
    /// state, which keeps the order.
    pub fn take(&self) -> impl Iterator<Item = (Post, Outcome, Time)> + '_ {
        let mut newer = NONE;
        let mut number = self.head.swap(NONE, SeqCst);
        tsan::acquire(self);
        // The newest post is on top of the stack: reversed, each points to the post
        // that came after it.
        while number != NONE
            && let Some(slot) = self.numbered(number)
        {
            let older = slot.next.load(Relaxed);
            slot.next.store(newer, Relaxed);
            newer = number;
            number = older;
        }
        let mut oldest = newer;
        std::iter::from_fn(move || {
            if oldest == NONE {
                return None;
            }
            let slot = self.numbered(oldest)?;
            let post = Post::of(oldest);
            oldest = slot.next.load(Relaxed);
            let said = slot.state.load(Relaxed) == state::SAID;
            let outcome = Outcome {
                code: slot.code.load(Relaxed),
                message: match said.then(|| slot.message.try_lock()).flatten() {
                    Some(mut message) => std::mem::replace(&mut *message, NO_MESSAGE),
                    None => NO_MESSAGE,
                },
            };
            Some((post, outcome, slot.at.load(Relaxed)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_lead_back() {
        for index in [0, 1, 2, 7, 1000, MOST - 1] {
            for post in [
                Post::Start(index),
                Post::Execute(index),
                Post::Interrupt(index),
            ] {
                assert_eq!(Post::of(post.number()), post);
            }
        }
        for post in [Post::Stop, Post::First] {
            assert_eq!(Post::of(post.number()), post);
        }
        for actors in [MOST + 1, usize::MAX] {
            assert_eq!(Inbox::default().make(actors, false), Err(Error::Memory));
        }
    }

    #[test]
    fn slots_are_where_they_were_made() {
        let slots = Slots::default();
        assert_eq!(slots.get(0).err(), Some(Error::State));
        let mut places = Vec::new();
        for count in [3, 3, 2, 4, 100, 1000] {
            slots.make(count).unwrap();
            let place = |index| std::ptr::from_ref(slots.get(index).expect("just made"));
            let now: Vec<_> = (0..count.max(places.len())).map(place).collect();
            assert!(now.starts_with(&places), "a slot has moved");
            places = now;
        }
        places.sort();
        places.dedup();
        assert_eq!(places.len(), 1000);
        assert_eq!(slots.get(100_000).err(), Some(Error::Invalid));
    }

    #[test]
    fn the_oldest_post_comes_first() {
        let inbox = Inbox::default();
        inbox.make(100, false).unwrap();
        for index in 0..100 {
            inbox.arm(Post::Execute(index), Caller::Own);
        }
        let order: Vec<usize> = (0..100).map(|n| n * 37 % 100).collect();
        for &index in &order {
            let outcome = Outcome::new(index as i32, "said");
            assert_eq!(
                inbox.post(Post::Execute(index), Caller::Own, outcome),
                Ok(false)
            );
        }
        let taken: Vec<_> = inbox.take().collect();
        let wanted: Vec<_> = order.iter().map(|&index| Post::Execute(index)).collect();
        assert_eq!(taken.iter().map(|t| t.0).collect::<Vec<_>>(), wanted);
        assert!(taken.iter().all(|t| t.1.message.to_bytes() == b"said"));
        assert!(taken.is_sorted_by_key(|t| t.2));
        assert_eq!(inbox.take().count(), 0);
    }

    #[test]
    fn what_was_not_called_is_refused() {
        let inbox = Inbox::default();
        let post = |post| inbox.post(post, Caller::Own, Outcome::code(0));
        assert_eq!(post(Post::Execute(0)), Err(Error::State), "before the run");
        inbox.make(1, false).unwrap();
        assert_eq!(post(Post::Execute(0)), Err(Error::State));
        inbox.arm(Post::Interrupt(0), Caller::Host);
        assert_eq!(post(Post::Interrupt(0)), Err(Error::State), "the host's");
        inbox.arm(Post::Execute(0), Caller::Own);
        assert_eq!(post(Post::Execute(0)), Ok(false));
        assert_eq!(post(Post::Execute(0)), Err(Error::State));
        assert_eq!(post(Post::Start(0)), Err(Error::State));
        assert_eq!(post(Post::Execute(1)), Err(Error::Invalid));
        // The first one's double is 0.
        for index in [1 << (usize::BITS - 1), usize::MAX / 4, usize::MAX] {
            assert_eq!(post(Post::Execute(index)), Err(Error::Invalid));
            assert_eq!(post(Post::Interrupt(index)), Err(Error::Invalid));
        }
        assert_eq!(post(Post::Stop), Ok(false));
        assert_eq!(post(Post::Stop), Err(Error::State));
    }

    #[test]
    fn the_driver_is_woken_once_for_what_it_waits_for() {
        let inbox = Inbox::default();
        inbox.make(3, false).unwrap();
        for index in 0..3 {
            inbox.arm(Post::Execute(index), Caller::Own);
        }
        inbox.expect(3);
        let post = |index| inbox.post(Post::Execute(index), Caller::Own, Outcome::code(0));
        assert!(inbox.wait_for(Awaited::Execute(1)));
        assert_eq!(post(0), Ok(false));
        assert_eq!(post(1), Ok(true));
        assert!(!inbox.wait_for(Awaited::Last), "there are posts to be seen");
        assert_eq!(inbox.take().count(), 2);
        assert!(inbox.wait_for(Awaited::Last));
        assert_eq!(post(2), Ok(true));
    }
}
