//! Groups of random lives in Rust. For each number N on stdin: N groups, then all
//! that is stuck is let go, and "N" is said.
//!
//!     soak SEED ACTORS      ACTORS: how many in a group, 0: any

use rungroup::{Cause, Group, Order, interrupt_none};
use std::io::BufRead;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

struct Random(u64);

impl Random {
    fn any(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }
}

#[derive(Clone, Copy, PartialEq)]
enum How {
    Return,
    Fail,
    Panic,
    Stop,
    StoppedBefore,
    Signal,
    Hold,
}

const HOWS: [How; 6] = [
    How::Return,
    How::Fail,
    How::Panic,
    How::Stop,
    How::StoppedBefore,
    How::Signal,
];
const SAID: &str = "said in Rust";
const TERMINATED: i32 = 128 + libc::SIGTERM;

/// One group's life; what is given lets a stuck actor go when dropped.
fn one_life(random: &mut Random, actors: usize) -> Option<Sender<()>> {
    let how = match random.any(64) {
        0 => How::Hold,
        _ => HOWS[random.any(HOWS.len())],
    };
    let count = if actors == 0 {
        1 + random.any(6)
    } else {
        actors
    };
    let chosen = random.any(count);
    let order = [Order::Added, Order::Reverse, Order::Staged][random.any(3)];
    let builder = Group::builder().order(order);
    let mut group = match (how, random.any(2)) {
        (How::Hold, _) => builder.grace(Duration::from_millis(1 + random.any(5) as u64)),
        (_, 0) => builder.grace(Duration::from_secs(60)),
        _ => builder,
    }
    .build();
    let stopper = group.stopper();
    let mut held = None;
    for index in 0..count {
        let token = group.stop_token();
        let (wake, woken) = channel::<()>();
        let does = (index == chosen).then_some(how);
        let stopper = stopper.clone();
        let execute = move || {
            match does {
                Some(How::Return) => return Ok(3),
                Some(How::Fail) => return Err(SAID),
                Some(How::Panic) => std::panic::panic_any(SAID),
                Some(How::Hold) => {
                    stopper.stop(9);
                    let _ = woken.recv();
                    return Ok(0);
                }
                Some(How::Stop) => stopper.stop(9),
                Some(How::Signal) => terminate(),
                _ => {}
            }
            match index % 2 {
                0 => token.wait(),
                _ => woken.recv().unwrap_or_default(),
            }
            Ok(0)
        };
        let added = if does == Some(How::Hold) {
            held = Some(wake);
            group.add("held", execute, interrupt_none)
        } else {
            let name = format!("actor {index}");
            group.add(name, execute, move |_: &Cause<'_>| {
                let _ = wake.send(());
            })
        };
        assert_eq!(added, Ok(index));
    }
    let listens = how == How::Signal || random.any(8) == 0;
    if listens {
        group.add_signals(&[libc::SIGTERM]).unwrap();
    }
    if how == How::StoppedBefore {
        stopper.stop(9);
    }
    let error = group.run().expect_err("no life ends with 0");
    if how == How::Hold {
        assert_eq!(error.code(), rungroup::Error::TimedOut.code());
        assert!(error.stuck().iter().any(|name| name == "held"), "{error}");
    } else if !listens || error.code() != TERMINATED {
        // A signal may come from outside at any time.
        let code = match how {
            How::Return => 3,
            How::Fail => 1,
            How::Panic => rungroup::Error::Panic.code(),
            How::Stop | How::StoppedBefore => 9,
            How::Signal | How::Hold => TERMINATED,
        };
        assert_eq!(error.code(), code, "{error}");
        if matches!(how, How::Fail | How::Panic) {
            assert_eq!(error.message(), SAID);
        }
    }
    if random.any(8) == 0 {
        let report = group.report();
        assert!(report.to_string().starts_with("rungroup: "));
        assert!(report.to_trace().len() > 20);
    }
    held
}

/// To this very process, which has a handler.
fn terminate() {
    // SAFETY: nothing is handed over.
    assert_eq!(unsafe { libc::kill(libc::getpid(), libc::SIGTERM) }, 0);
}

extern "C" fn pass_by(_: i32) {}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mut number = || arguments.next().and_then(|word| word.parse().ok());
    let mut random = Random(number().expect("SEED ACTORS"));
    let actors = number().expect("SEED ACTORS") as usize;
    std::panic::set_hook(Box::new(|panic| {
        if panic.payload().downcast_ref::<&str>() != Some(&SAID) {
            eprintln!("{panic}");
        }
    }));
    // SAFETY: a handler that does nothing, for when no group listens.
    unsafe { libc::signal(libc::SIGTERM, pass_by as extern "C" fn(i32) as usize) };
    for line in std::io::stdin().lock().lines() {
        let lives: usize = line.unwrap().parse().unwrap();
        let mut held = Vec::new();
        for _ in 0..lives {
            held.extend(one_life(&mut random, actors));
            if held.len() > 8 {
                let which = random.any(held.len());
                held.swap_remove(which);
            }
        }
        drop(held);
        println!("{lives}");
    }
}
