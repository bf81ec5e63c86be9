//! Whole runs of groups through the C interface, with everything that may come
//! in between: a stop from outside, the end of the grace, `rg_free` while stuck
//! actors return. Driven, async and thread actors are mixed.
#![allow(unsafe_code)]

use super::{Depth, check, readable};
use crate::abi::*;
use crate::capi::{drive::*, group::*, report::*, stop::*};
use crate::error::*;
use crate::sync::{self, Clock, after};
use crate::sys::futex::Word;
use crate::sys::thread as threads;
use shuttle::thread::{JoinHandle, spawn};
use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

/// What an actor does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Returns at once.
    Returns,
    /// Returns when interrupted.
    Waits,
    /// Returns when the group stops.
    Watches,
    /// Returns when freed, long after.
    Stuck,
    /// The same, and so does its interrupt.
    StuckInInterrupt,
    /// Without a thread: completes at once, from elsewhere.
    Completes,
    /// Without a thread: completes when interrupted, from elsewhere.
    CompletesLate,
}
use Kind::*;

/// Who drives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// `rg_run`.
    Run,
    /// `rg_run` on a thread of its own; `rg_wait` and `rg_free` on another.
    RunElsewhere,
    /// `rg_start` and `rg_wait`.
    Start,
    /// The host: `rg_drive_next`, when a report said so.
    Drive,
    /// The same, when the descriptor is readable.
    DriveByDescriptor,
    /// The same, and every second actor is the library's to run.
    DriveMixed,
}
use How::*;

impl How {
    fn driven(self) -> bool {
        matches!(self, Drive | DriveByDescriptor | DriveMixed)
    }

    /// Whether the host runs this actor.
    fn hosts(self, index: usize) -> bool {
        match self {
            DriveMixed => index.is_multiple_of(2),
            how => how.driven(),
        }
    }
}

#[derive(Clone, Copy)]
struct Plan {
    actors: &'static [Kind],
    how: How,
    /// One of `rg_order`.
    order: c_int,
    /// It has a grace, which may be over at any moment.
    grace: bool,
    /// `rg_stop` comes at any moment, also before the run.
    stop: bool,
    /// Another group runs while the stuck ones of this return.
    again: bool,
    /// The first attempt to run finds so many threads, which are too few.
    threads: Option<usize>,
}

const PLAN: Plan = Plan {
    actors: &[],
    how: Run,
    order: 0,
    grace: false,
    stop: false,
    again: false,
    threads: None,
};

/// What happened, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Began(usize),
    Returned(usize),
    Interrupt(usize),
    Interrupted(usize),
    Released(usize),
    Over,
}
use What::*;

const GRACE: Duration = Duration::from_millis(80);
const STOPPED: c_int = 9;

fn code(index: usize) -> c_int {
    20 + index as c_int
}

#[derive(Default)]
struct Party {
    log: Mutex<Vec<What>>,
    /// What readable says: the group stops. Of its own, to be looked at when
    /// the group is gone.
    stop_fd: OnceLock<OwnedFd>,
    begun: Word,
    /// The stuck ones may go on.
    freedom: Word,
    /// How many have been released.
    released: Word,
    drive_fd: OnceLock<RawFd>,
    /// For a host that drives and does not poll: grows with what is new.
    news: Word,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Party {
    fn note(&self, what: What) {
        self.log.lock().unwrap().push(what);
    }

    fn log(&self) -> Vec<What> {
        self.log.lock().unwrap().clone()
    }

    fn stopping(&self) -> bool {
        self.stop_fd
            .get()
            .is_some_and(|fd| readable(fd.as_raw_fd()))
    }
}

/// The userdata of an actor. The party keeps it to the end; what comes after
/// its release is found in the log.
struct Member {
    party: Arc<Party>,
    index: usize,
    kind: Kind,
    interrupted: Word,
    group: Handle,
}

/// A group's or a completion's.
#[derive(Clone, Copy)]
struct Handle(*mut rg_group);

// SAFETY: any thread may use it.
unsafe impl Send for Handle {}
// SAFETY: as above.
unsafe impl Sync for Handle {}

struct Done(*mut rg_completion);

// SAFETY: any thread may use it.
unsafe impl Send for Done {}

fn member<'a>(userdata: *mut c_void) -> &'a Member {
    // SAFETY: the test keeps the members to the end of the schedule.
    unsafe { &*userdata.cast::<Member>() }
}

impl Member {
    /// What the execute does, on whatever thread.
    fn work(&self) {
        let party = &self.party;
        party.note(Began(self.index));
        party.begun.set(1);
        match self.kind {
            Returns | Completes => {}
            Waits | CompletesLate => {
                self.interrupted.wait(1, None);
            }
            Watches => {
                // SAFETY: without a grace the group outlives the execute.
                assert_eq!(unsafe { rg_wait_stop(self.group.0, -1) }, 1);
            }
            Stuck | StuckInInterrupt => {
                party.freedom.wait(1, None);
            }
        }
        party.note(Returned(self.index));
    }

    fn be_interrupted(&self) {
        let party = &self.party;
        party.note(Interrupt(self.index));
        assert!(
            party.stopping(),
            "interrupted before the descriptor is readable"
        );
        self.interrupted.set(1);
        if self.kind == StuckInInterrupt {
            party.freedom.wait(1, None);
        }
        party.note(Interrupted(self.index));
    }
}

unsafe extern "C-unwind" fn execute(userdata: *mut c_void) -> c_int {
    let member = member(userdata);
    member.work();
    code(member.index)
}

unsafe extern "C-unwind" fn interrupt(cause: *const rg_cause, userdata: *mut c_void) {
    assert!(!cause.is_null());
    member(userdata).be_interrupted();
}

unsafe extern "C-unwind" fn release(userdata: *mut c_void) {
    let Member { party, index, .. } = member(userdata);
    // Kept: the test is over with the last.
    let party = party.clone();
    party.note(Released(*index));
    // Under no lock: one thread releases them all.
    party.released.set(party.released.get() + 1);
}

unsafe extern "C-unwind" fn start(done: *mut rg_completion, userdata: *mut c_void) {
    let (member, done) = (member(userdata), Done(done));
    let thread = spawn(move || {
        let Done(done) = { done };
        member.work();
        // SAFETY: completed once.
        let result = unsafe { rg_complete(done, code(member.index), ptr::null()) };
        assert_eq!(result, RG_OK);
    });
    member.party.threads.lock().unwrap().push(thread);
}

/// One run and its end.
fn run(plan: Plan) {
    let party = Arc::new(Party::default());
    let threads = threads::handles();
    let clock = match plan.how {
        _ if plan.grace => Some(Clock::start(1, GRACE / 2)),
        // The threads that make calls look at the time.
        DriveMixed => Some(Clock::start(0, Duration::ZERO)),
        _ => None,
    };
    // SAFETY: the C interface, used as its header says.
    unsafe {
        let group = rg_new();
        assert_eq!(rg_set_order(group, plan.order), RG_OK);
        if plan.grace {
            assert_eq!(rg_set_grace(group, GRACE.as_millis() as i64), RG_OK);
        }
        let members: Vec<Arc<Member>> = plan
            .actors
            .iter()
            .enumerate()
            .map(|(index, &kind)| {
                Arc::new(Member {
                    party: party.clone(),
                    index,
                    kind,
                    interrupted: Word::default(),
                    group: Handle(group),
                })
            })
            .collect();
        for member in &members {
            add(plan, group, member);
        }
        let fd = BorrowedFd::borrow_raw(rg_stop_fd(group));
        party.stop_fd.set(fd.try_clone_to_owned().unwrap()).unwrap();
        let stopper = plan.stop.then(|| {
            let (group, party) = (Handle(group), party.clone());
            spawn(move || {
                let group = group;
                assert_eq!(rg_stop(group.0, STOPPED), RG_OK);
                assert!(
                    party.stopping(),
                    "rg_stop returned before the descriptor is readable"
                );
                if party.drive_fd.get().is_some_and(|&fd| readable(fd)) {
                    party.news.add(1);
                }
            })
        });
        if let Some(threads) = plan.threads {
            threads::limit(threads);
            assert_eq!(rg_run(group), RG_ESPAWN);
            threads::limit(usize::MAX);
            assert_eq!(party.log(), [], "called, and yet refused");
        }
        let handle = Handle(group);
        let code = match plan.how {
            Run => rg_run(group),
            RunElsewhere => {
                let runs = spawn(move || {
                    let handle = handle;
                    rg_run(handle.0)
                });
                party.begun.wait(1, None);
                let code = wait(group);
                party
                    .threads
                    .lock()
                    .unwrap()
                    .push(spawn(move || assert_eq!(runs.join().unwrap(), code)));
                code
            }
            Start => {
                assert_eq!(rg_start(group), RG_OK);
                if readable(rg_done_fd(group)) {
                    assert!(finished(group), "said to be over, and goes on");
                }
                wait(group)
            }
            Drive | DriveByDescriptor | DriveMixed => drive(plan, group, &party, &members),
        };
        party.note(Over);
        // The handle is not to be used after rg_free.
        if let Some(stopper) = stopper {
            stopper.join().unwrap();
        }
        judge(plan, group, code, &party);
        if code != RG_ETIMEDOUT {
            // Of an earlier group there may be some that were stuck.
            assert!(threads::handles() <= threads, "not every thread was joined");
        }
        let freeing = party.clone();
        let frees = spawn(move || freeing.freedom.set(1));
        if plan.again {
            run(Plan {
                actors: &[Returns],
                ..PLAN
            });
        }
        rg_free(group);
        let own = (0..members.len()).filter(|&index| !plan.how.hosts(index));
        party.released.wait(own.count() as u32, None);
        frees.join().unwrap();
        loop {
            let thread = party.threads.lock().unwrap().pop();
            let Some(thread) = thread else { break };
            thread.join().unwrap();
        }
        if let Some(clock) = clock {
            clock.stop();
        }
        epilogue(plan, &party.log());
    }
}

unsafe fn wait(group: *mut rg_group) -> c_int {
    let mut code = 0;
    // SAFETY: the caller's.
    unsafe { assert_eq!(rg_wait(group, -1, &mut code), 1) };
    code
}

unsafe fn finished(group: *mut rg_group) -> bool {
    // SAFETY: the caller's, and zeroes are a summary.
    unsafe {
        let mut summary: rg_summary = std::mem::zeroed();
        summary.size = size_of::<rg_summary>();
        assert_eq!(rg_get_summary(group, &mut summary), RG_OK);
        summary.finished == 1
    }
}

unsafe fn add(plan: Plan, group: *mut rg_group, member: &Member) {
    let userdata = ptr::from_ref(member).cast_mut().cast();
    // SAFETY: the members live longer than the group.
    let result = unsafe {
        match member.kind {
            _ if plan.how.hosts(member.index) => rg_drive_add(group, ptr::null()),
            Completes | CompletesLate => rg_add_async(
                group,
                ptr::null(),
                Some(start),
                Some(interrupt),
                userdata,
                Some(release),
            ),
            _ => rg_add_actor(
                group,
                &rg_actor {
                    size: size_of::<rg_actor>(),
                    name: ptr::null(),
                    execute: Some(execute),
                    interrupt: Some(interrupt),
                    userdata,
                    release: Some(release),
                    stack_size: 0,
                },
            ),
        }
    };
    assert_eq!(result, RG_OK);
}

/// The host's part: each actor on a thread of its own, which reports its return.
unsafe fn drive(
    plan: Plan,
    group: *mut rg_group,
    party: &Arc<Party>,
    members: &[Arc<Member>],
) -> c_int {
    let report = |member: &Arc<Member>, step: unsafe fn(&Member) -> c_int| {
        let member = member.clone();
        let thread = spawn(move || {
            // SAFETY: the group is there until the last has reported.
            let effect = unsafe { step(&member) };
            assert!(effect >= 0, "{effect}");
            if effect & RG_DRIVE_WAKE != 0 {
                member.party.news.add(1);
            }
        });
        party.threads.lock().unwrap().push(thread);
    };
    // SAFETY: the caller's.
    unsafe {
        let fd = rg_drive_fd(group);
        party.drive_fd.set(fd).unwrap();
        assert_eq!(rg_drive_begin(group), RG_OK);
        let mut value = 0;
        let mut seen = party.news.get();
        let mut step = rg_drive_next(group, &mut value);
        if step != RG_STEP_FINISH {
            let hosted = members.iter().enumerate();
            for (_, member) in hosted.filter(|&(index, _)| plan.how.hosts(index)) {
                report(member, |member| {
                    member.work();
                    rg_drive_return(
                        member.group.0,
                        member.index,
                        code(member.index),
                        ptr::null(),
                    )
                });
            }
        }
        loop {
            match step {
                RG_STEP_INTERRUPT => {
                    let member = &members[value as usize];
                    if member.kind == StuckInInterrupt {
                        report(member, |member| {
                            member.be_interrupted();
                            rg_drive_interrupted(member.group.0, member.index, ptr::null())
                        });
                    } else {
                        member.be_interrupted();
                        let effect = rg_drive_interrupted(group, member.index, ptr::null());
                        assert!(effect >= 0, "{effect}");
                    }
                }
                RG_STEP_WAIT => {
                    let time = u64::try_from(value).ok().map(Duration::from_nanos);
                    let deadline = time.and_then(after);
                    match plan.how {
                        Drive => party.news.wait_past(seen, deadline),
                        _ => sync::poll(|| readable(fd), deadline),
                    }
                }
                RG_STEP_FINISH => return value as c_int,
                error => panic!("{error}"),
            }
            seen = party.news.get();
            step = rg_drive_next(group, &mut value);
        }
    }
}

/// What must hold when the run is over and its group still there.
unsafe fn judge(plan: Plan, group: *mut rg_group, code: c_int, party: &Party) {
    let log = party.log();
    let before = &log[..log.iter().position(|&what| what == Over).unwrap()];
    let has = |what| before.contains(&what);
    // SAFETY: the group is there.
    let cause = unsafe { rg_get_cause(group).as_ref() };
    // SAFETY: the group is there, and zeroes are a report.
    let stuck = |index| unsafe {
        let mut report: rg_actor_report = std::mem::zeroed();
        report.size = size_of::<rg_actor_report>();
        assert_eq!(rg_get_report(group, index, &mut report), RG_OK);
        report.stuck
    };
    let Some(cause) = cause else {
        panic!("over without a cause");
    };
    if cause.index < 0 {
        assert!(plan.stop);
        assert_eq!(cause.code, STOPPED);
    } else {
        let index = cause.index as usize;
        assert_eq!(cause.code, self::code(index));
        assert!(has(Returned(index)), "the cause has not returned");
    }
    if log.is_empty() {
        return;
    }
    let mut any = false;
    for index in 0..plan.actors.len() {
        let bits = stuck(index);
        any |= bits != 0;
        if !has(Began(index)) && cause.index < 0 && bits == 0 {
            // Stopped before the run: nothing is started, nothing is interrupted.
            assert!(before.is_empty(), "{before:?}");
            continue;
        }
        if bits & RG_STUCK_EXECUTE == 0 {
            assert!(
                has(Returned(index)),
                "over before actor {index} returned: {before:?}"
            );
        }
        if bits & RG_STUCK_INTERRUPT == 0 {
            assert!(
                has(Interrupted(index)),
                "over before interrupt {index} returned: {before:?}"
            );
        }
    }
    assert_eq!(code == RG_ETIMEDOUT, any, "{code}: {before:?}");
    assert!(any || code == cause.code);
    assert!(plan.grace || !any);
}

/// What must hold of everything that happened.
fn epilogue(plan: Plan, log: &[What]) {
    let count = plan.actors.len();
    let at = |what: What| {
        let mut places = log.iter().enumerate().filter(|&(_, &w)| w == what);
        let first = places.next().map(|(at, _)| at);
        assert!(places.next().is_none(), "{what:?} twice: {log:?}");
        first
    };
    let started = at(Began(0)).is_some();
    for index in 0..count {
        let released = match plan.how.hosts(index) {
            true => log.len(),
            false => at(Released(index)).expect("released"),
        };
        let all = [
            Began(index),
            Returned(index),
            Interrupt(index),
            Interrupted(index),
        ]
        .map(at);
        if !started {
            assert_eq!(all, [None; 4]);
            continue;
        }
        for at in all {
            assert!(
                at.is_some_and(|at| at < released),
                "released too early: {log:?}"
            );
        }
        assert!(all[0] < all[1] && all[2] < all[3]);
    }
    if !started {
        return;
    }
    // Rule 6, and without a grace rule 5: one after another.
    let order: Vec<usize> = match plan.order {
        0 => (0..count).collect(),
        _ => (0..count).rev().collect(),
    };
    for pair in order.windows(2) {
        let [before, after] = [pair[0], pair[1]];
        if !plan.grace {
            assert!(at(Interrupted(before)) < at(Interrupt(after)), "{log:?}");
            if plan.order == 2 {
                assert!(at(Returned(before)) < at(Interrupt(after)), "{log:?}");
            }
        }
    }
}

const RANDOM: usize = 50_000;

/// Each plan in every schedule of so many detours, in `make test` and in `make
/// model`, and in so many random ones.
macro_rules! plans {
    ($($name:ident: $detours:expr, $random:expr, $actors:expr, {$($field:ident: $value:expr),*};)*) => {
        $(#[test]
        fn $name() {
            let depth = Depth { detours: $detours, random: $random };
            #[allow(clippy::needless_update)]
            let plan = Plan { actors: &$actors, $($field: $value,)* ..PLAN };
            check(stringify!($name), depth, move || run(plan));
        })*
    };
}

plans! {
    one_returns: [3, 5], 0, [Returns], {};
    one_returns_or_is_stopped: [2, 3], 0, [Returns], {stop: true};
    one_stopped: [2, 3], 0, [Waits], {stop: true};
    one_started: [2, 3], 0, [Watches], {how: Start, stop: true};
    one_waited_for_elsewhere: [2, 3], 0, [Returns], {how: RunElsewhere};
    one_driven: [2, 3], 0, [Waits], {how: Drive, stop: true};
    one_async: [2, 3], 0, [CompletesLate], {stop: true};
    one_stuck: [1, 2], RANDOM, [Stuck], {grace: true, stop: true};
    one_stuck_in_interrupt: [1, 2], RANDOM, [StuckInInterrupt], {grace: true, stop: true};
    one_stuck_and_another_run: [1, 2], 0, [Stuck], {grace: true, stop: true, again: true};
    two_return: [2, 3], RANDOM, [Returns, Returns], {stop: true};
    two_refused: [1, 2], 0, [Returns, Waits], {threads: Some(1)};
    two_driven: [2, 3], RANDOM, [Returns, Waits], {how: Drive, stop: true};
    two_driven_by_descriptor: [2, 3], RANDOM, [Returns, Waits], {how: DriveByDescriptor, stop: true};
    two_driven_and_stuck: [1, 2], RANDOM, [Waits, StuckInInterrupt], {how: Drive, grace: true, stop: true};
    two_async: [2, 3], RANDOM, [Completes, CompletesLate], {stop: true};
    two_staged: [2, 3], RANDOM, [Waits, Returns], {order: 2, stop: true};
    two_stuck: [1, 2], RANDOM, [Stuck, StuckInInterrupt], {grace: true, stop: true};
    three_started: [1, 2], RANDOM, [Waits, Returns, Watches], {how: Start, order: 1, stop: true};
    three_waited_for_elsewhere: [1, 2], RANDOM, [Returns, Waits, Watches], {how: RunElsewhere};
    three_with_a_grace: [1, 2], RANDOM, [Waits, Waits, CompletesLate], {grace: true, stop: true};
    three_stuck: [1, 2], RANDOM, [StuckInInterrupt, Returns, Stuck], {grace: true, stop: true};
    three_stuck_staged: [1, 2], RANDOM, [Waits, StuckInInterrupt, Stuck], {how: Start, order: 2, grace: true, stop: true};
    three_driven: [1, 2], RANDOM, [Waits, Returns, Stuck], {how: Drive, grace: true, stop: true};
    two_mixed: [1, 2], RANDOM, [Returns, Waits], {how: DriveMixed, stop: true};
    two_mixed_async: [1, 2], RANDOM, [Waits, Completes], {how: DriveMixed};
    three_mixed: [1, 2], RANDOM, [Waits, CompletesLate, Returns], {how: DriveMixed, stop: true};
    three_mixed_and_stuck: [1, 2], RANDOM, [Waits, StuckInInterrupt, Stuck], {how: DriveMixed, grace: true, stop: true};
    three_mixed_staged: [1, 2], RANDOM, [Waits, Waits, Returns], {how: DriveMixed, order: 2, grace: true};
}
