//! The parts alone: in every schedule there is.

use super::{Depth, check, readable};
use crate::latch::Latch;
use crate::sync::{Clock, after, now};
use shuttle::thread::spawn;
use std::sync::Arc;
use std::time::Duration;

const EVERY: Depth = Depth {
    detours: [usize::MAX; 2],
    random: 0,
};

#[test]
fn a_waiter_is_woken() {
    check("latch: set, wait", EVERY, || {
        let latch = Arc::new(Latch::default());
        let waiter = spawn({
            let latch = latch.clone();
            move || assert!(latch.wait_until(None))
        });
        latch.set();
        waiter.join().unwrap();
    });
}

#[test]
fn every_waiter_is_woken_by_either() {
    let depth = Depth {
        detours: [4, 5],
        random: 20_000,
    };
    check("latch: 2 sets, 2 waits", depth, || {
        let latch = Arc::new(Latch::default());
        let mut threads = Vec::new();
        for _ in 0..2 {
            let waiting = latch.clone();
            threads.push(spawn(move || assert!(waiting.wait_until(None))));
        }
        let setting = latch.clone();
        threads.push(spawn(move || setting.set()));
        latch.set();
        assert!(latch.is_set());
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_descriptor_made_late_says_the_same() {
    check("latch: set, descriptor made", EVERY, || {
        let latch = Arc::new(Latch::default());
        let looking = latch.clone();
        let looks = spawn(move || {
            let fd = looking.fd().unwrap();
            if readable(fd) {
                assert!(looking.is_set());
            }
        });
        latch.set();
        looks.join().unwrap();
        assert!(readable(latch.fd().unwrap()));
    });
}

#[test]
fn the_descriptor_is_one() {
    check("latch: 2 ask for the descriptor", EVERY, || {
        let latch = Arc::new(Latch::default());
        let other = latch.clone();
        let asks = spawn(move || other.fd().unwrap());
        let fd = latch.fd().unwrap();
        assert_eq!(asks.join().unwrap(), fd);
    });
}

#[test]
fn a_wait_ends_at_its_deadline_or_before() {
    let depth = Depth {
        detours: [5, 9],
        random: 0,
    };
    check("latch: set, wait with a deadline", depth, || {
        let deadline = after(Duration::from_secs(1));
        let clock = Clock::start(0, Duration::ZERO);
        let latch = Arc::new(Latch::default());
        let waiting = latch.clone();
        let waiter = spawn(move || {
            let set = waiting.wait_until(deadline);
            assert!(set || Some(now()) >= deadline);
            set
        });
        latch.set();
        let set = waiter.join().unwrap();
        assert!(latch.is_set() || !set);
        clock.stop();
    });
}

#[test]
fn whoever_has_set_it_or_sees_the_descriptor_sees_both() {
    check("latch: 2 sets, descriptor, look", EVERY, || {
        let latch = Arc::new(Latch::default());
        let fd = latch.fd().unwrap();
        let (other, looking) = (latch.clone(), latch.clone());
        let sets = spawn(move || {
            other.set();
            assert!(readable(fd));
        });
        let looks = spawn(move || {
            if readable(fd) {
                assert!(looking.is_set());
            }
        });
        latch.set();
        assert!(readable(fd));
        sets.join().unwrap();
        looks.join().unwrap();
    });
}
