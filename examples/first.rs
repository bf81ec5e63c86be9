//! Two actors wait; the third counts to three and returns: all of them end.

use rungroup::{Cause, Error, Exit, Group, StopToken};
use std::time::Duration;

fn interrupt(name: &str, cause: &Cause) {
    println!("{name}: interrupted, code {}", cause.code());
}

fn main() -> Result<Exit, Error> {
    let mut group = Group::new();
    for name in ["first", "second"] {
        let execute = move |stop: StopToken| {
            stop.wait();
            println!("{name}: returned");
        };
        group.add(name, execute, move |cause| interrupt(name, cause))?;
    }
    let execute = |stop: StopToken| {
        for i in 1..=3 {
            if stop.wait_timeout(Duration::from_secs(1)) {
                break;
            }
            println!("third: {i}");
        }
        println!("third: returned");
    };
    group.add("third", execute, |cause| interrupt("third", cause))?;
    Ok(group.run().into())
}
