//! What became of a run: a snapshot, and its text for people. The form for trace
//! viewers is in `trace.rs`, the data in `view.rs`.

mod trace;
mod view;

pub use view::{ActorReport, ActorState, Cause};

use crate::error::Error;
use crate::machine::{self, Machine, Nanos, Order, Record, Stuck};
use std::fmt;

/// A snapshot of a group, during its run or after.
#[derive(Clone, Debug)]
pub struct Report {
    records: Vec<Record>,
    cause: Option<machine::Cause>,
    code: Option<i32>,
    grace: Option<Nanos>,
    order: Order,
    started_at: Option<Nanos>,
    stopping_at: Nanos,
    observer_stuck: bool,
    /// When the run was over, or when the snapshot was taken.
    end: Nanos,
}

impl Report {
    pub(crate) fn new(machine: &mut Machine, end: Nanos) -> Self {
        machine.make_names();
        Report {
            records: machine.records().to_vec(),
            cause: machine.cause().cloned(),
            code: machine.finished(),
            grace: machine.grace(),
            order: machine.order(),
            started_at: machine.started_at(),
            stopping_at: machine.stopping_at(),
            observer_stuck: machine.observer_stuck(),
            end,
        }
    }

    /// A report from what a host has saved of a group. The times are when it started,
    /// when stopping began, and the end.
    pub(crate) fn from_parts(
        mut records: Vec<Record>,
        cause: Option<machine::Cause>,
        code: Option<i32>,
        grace: Option<Nanos>,
        order: Order,
        [started_at, stopping_at, end]: [Option<Nanos>; 3],
        observer_stuck: bool,
    ) -> Self {
        for (index, record) in records.iter_mut().enumerate() {
            record.make_name(index);
        }
        Report {
            records,
            cause,
            code,
            grace,
            order,
            started_at,
            stopping_at: stopping_at.unwrap_or(0),
            observer_stuck,
            end: end.unwrap_or(0),
        }
    }

    fn initiator(&self) -> Option<usize> {
        self.cause.as_ref()?.index
    }

    fn is_stuck(&self) -> bool {
        self.observer_stuck || self.records.iter().any(|record| record.stuck.any())
    }

    fn headline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let started = self.started_at.is_some() && !self.records.is_empty();
        let Some(cause) = &self.cause else {
            return match self.code {
                Some(_) => writeln!(f, "rungroup: no actors, nothing to run"),
                None if started => writeln!(f, "rungroup: running for {}", Time(self.end)),
                None => writeln!(f, "rungroup: not run"),
            };
        };
        if !started {
            return writeln!(
                f,
                "rungroup: stopped with code {} before it was run",
                cause.code
            );
        }
        write!(
            f,
            "rungroup: {} after {}",
            EndedBy(cause, &self.records),
            Time(self.stopping_at)
        )?;
        let took = Time(self.end.saturating_sub(self.stopping_at));
        match self.code {
            None => writeln!(f, ", stopping for {took}"),
            Some(_) if self.is_stuck() => {
                let grace = Time(self.grace.unwrap_or(0));
                writeln!(f, ", not stopped within its grace of {grace}")
            }
            // Also with RG_ETIMEDOUT, which then is the code of a group inside of it.
            Some(_) => writeln!(f, ", stopped in {took}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headline(f)?;
        for record in self.records.iter().filter(|record| record.stuck.any()) {
            let name = record.name().to_string_lossy();
            writeln!(f, "  STUCK \"{name}\": {}", what_is_stuck(record.stuck))?;
        }
        if self.observer_stuck {
            writeln!(f, "  STUCK observer: it has not taken all events")?;
        }
        let names = self
            .records
            .iter()
            .map(|r| r.name().to_string_lossy().chars().count());
        let width = names.chain([5]).max().unwrap_or(5).min(32);
        if !self.records.is_empty() {
            writeln!(
                f,
                "  {:<width$}  {:>9}  {:>9}  {:<10}  outcome",
                "actor", "ran for", "to stop", ""
            )?;
        }
        let span = self.end.saturating_sub(self.stopping_at).max(1);
        for (index, record) in self.records.iter().enumerate() {
            let Some(started) = self.started_at else {
                writeln!(
                    f,
                    "  {:<width$}  not started",
                    record.name().to_string_lossy()
                )?;
                continue;
            };
            let until = record.returned_in_time().unwrap_or(self.end);
            let ran = until.saturating_sub(started);
            let stopping = self.cause.as_ref().map(|_| self.stopping_at);
            let stop = stopping.map(|at| record.to_stop(at, until));
            let filled = stop.map_or(0, |stop| {
                (u128::from(stop) * 10).div_ceil(u128::from(span)).min(10) as usize
            });
            let mark = if self.initiator() == Some(index) {
                '*'
            } else {
                ' '
            };
            write!(
                f,
                "{mark} {:<width$}  {:>9}  {:>9}  {:<10}  ",
                record.name().to_string_lossy(),
                Time(ran).to_string(),
                stop.map_or(String::new(), |stop| Time(stop).to_string()),
                "#".repeat(filled),
            )?;
            match &record.outcome {
                _ if record.stuck.any() => f.write_str("stuck")?,
                None => f.write_str("running")?,
                Some(outcome) => {
                    let said = outcome.message.to_string_lossy();
                    write!(f, "{}", Said(outcome.code, &said))?;
                }
            }
            if let Some(complaint) = &record.complaint {
                write!(f, "; interrupt: {}", complaint.to_string_lossy())?;
            }
            writeln!(f)?;
        }
        if self.order != Order::Added {
            let order = match self.order {
                Order::Staged => "staged",
                _ => "reverse",
            };
            writeln!(f, "  interrupted in {order} order")?;
        }
        Ok(())
    }
}

fn what_is_stuck(stuck: Stuck) -> &'static str {
    match (stuck.start, stuck.execute, stuck.thread, stuck.interrupt) {
        (true, _, _, true) => "its start and its interrupt have not returned",
        (true, ..) => "its start has not returned",
        (_, true, _, true) => "its execute and its interrupt have not returned",
        (_, true, ..) => "its execute has not returned",
        (_, _, true, true) => {
            "its interrupt has not returned, and its execute has, but its thread has not ended"
        }
        (_, _, true, _) => "its execute has returned, but its thread has not ended",
        _ => "its interrupt has not returned",
    }
}

/// Who ended the group, and with what, as a phrase. Empty: it is not stopping.
pub fn ended_by(machine: &mut Machine) -> String {
    machine.make_names();
    machine.cause().map_or(String::new(), |cause| {
        EndedBy(cause, machine.records()).to_string()
    })
}

struct EndedBy<'a>(&'a machine::Cause, &'a [Record]);

impl fmt::Display for EndedBy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EndedBy(cause, records) = self;
        match cause.index {
            Some(index) => {
                let name = records[index].name().to_string_lossy();
                write!(f, "ended by \"{name}\"")?;
            }
            None => write!(f, "stopped from outside")?,
        }
        let said = cause.message.to_string_lossy();
        write!(f, " with {}", Said(cause.code, &said))
    }
}

/// A code and its message.
struct Said<'a>(i32, &'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Error::from_code(self.0) {
            Some(Error::Panic) => f.write_str("an exception or a panic")?,
            _ => write!(f, "code {}", self.0)?,
        }
        if self.1.is_empty() {
            Ok(())
        } else {
            write!(f, " ({})", self.1)
        }
    }
}

/// A time with three significant figures.
struct Time(Nanos);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, unit) = match self.0 {
            ns @ 0..1_000 => return write!(f, "{ns} ns"),
            ns @ 1_000..1_000_000 => (ns as f64 / 1e3, "µs"),
            ns @ 1_000_000..1_000_000_000 => (ns as f64 / 1e6, "ms"),
            ns => (ns as f64 / 1e9, "s"),
        };
        let digits = match value {
            v if v < 10.0 => 2,
            v if v < 100.0 => 1,
            _ => 0,
        };
        write!(f, "{value:.digits$} {unit}")
    }
}
