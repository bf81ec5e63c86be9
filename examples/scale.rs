//! The rules at a million actors, without threads: what the state machine costs
//! by itself. `cargo run --release --example scale [ACTORS]`
//!
//! Goes through one life of a group in each order of interrupts, checks who is
//! interrupted when, and prints what an actor costs. docs/scale.md has figures.

use rungroup::machine::{Machine, Order, Outcome, Step};
use std::time::Instant;

fn main() {
    let argument = std::env::args().nth(1);
    let actors: usize = argument.map_or(1_000_000, |count| count.parse().expect("a number"));
    println!("{actors} actors: {:.0} bytes each", footprint(actors));
    println!("order     grace  actors      ns an actor");
    for count in [actors / 100, actors] {
        for order in [Order::Added, Order::Reverse, Order::Staged] {
            for grace in [None, Some(3_600_000_000_000)] {
                let bound = if grace.is_some() { "1 h" } else { "none" };
                let cost = life(count, order, grace);
                println!(
                    "{:<9} {bound:<6} {count:<11} {cost:.0}",
                    format!("{order:?}")
                );
            }
        }
    }
}

/// Bytes of memory an actor.
fn footprint(actors: usize) -> f64 {
    let (mut machine, before) = (Machine::new(), resident());
    for _ in 0..actors {
        machine.add(None).unwrap();
    }
    (resident() - before) as f64 / actors as f64
}

/// From the first addition to the end: the actor in the middle returns first,
/// every other one when it is interrupted. Gives nanoseconds an actor.
fn life(actors: usize, order: Order, grace: Option<u64>) -> f64 {
    let began = Instant::now();
    let mut machine = Machine::new();
    machine.set_order(order).unwrap();
    machine.set_grace(grace).unwrap();
    for index in 0..actors {
        assert_eq!(machine.add(None), Ok(index));
    }
    assert_eq!(machine.begin(), Ok(true));
    machine.started(0);
    let first = actors / 2;
    let mut now = 1;
    machine.returned(first, Outcome::code(7), now).unwrap();
    let mut interrupted = 0;
    loop {
        now += 1;
        match machine.next(now) {
            Step::Interrupt(index) => {
                let expected = match order {
                    Order::Added => interrupted,
                    Order::Reverse | Order::Staged => actors - 1 - interrupted,
                };
                assert_eq!(index, expected);
                interrupted += 1;
                machine.interrupt_returned(index, None, now).unwrap();
                if index != first {
                    machine.returned(index, Outcome::code(0), now).unwrap();
                }
            }
            Step::Finish(code) => {
                assert_eq!((code, interrupted), (7, actors));
                break;
            }
            Step::Start(_) => unreachable!("all have threads"),
            Step::Wait(_) => unreachable!("all have returned"),
        }
    }
    drop(machine);
    began.elapsed().as_nanos() as f64 / actors as f64
}

/// Bytes of memory in use, where the system says.
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4096
}
