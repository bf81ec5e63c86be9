//! What became of a run: the text form and the trace form.

use crate::error::Error;
use crate::machine::{Cause, Machine, Nanos, Order, Record};
use std::fmt::{self, Write};

/// A snapshot of a group, during its run or after.
#[derive(Clone, Debug)]
pub struct Report {
    records: Vec<Record>,
    cause: Option<Cause>,
    code: Option<i32>,
    grace: Option<Nanos>,
    order: Order,
    started_at: Option<Nanos>,
    stopping_at: Nanos,
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
            end,
        }
    }

    /// A report that was kept elsewhere. Times: started, stopping, end.
    pub(crate) fn from_parts(
        mut records: Vec<Record>,
        cause: Option<Cause>,
        code: Option<i32>,
        grace: Option<Nanos>,
        order: Order,
        [started_at, stopping_at, end]: [Option<Nanos>; 3],
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
            end: end.unwrap_or(0),
        }
    }

    /// The actors, in order of addition.
    pub fn actors(&self) -> &[Record] {
        &self.records
    }

    /// Why it stopped.
    pub fn cause(&self) -> Option<&Cause> {
        self.cause.as_ref()
    }

    /// The run's code, once it is over.
    pub fn code(&self) -> Option<i32> {
        self.code
    }

    /// The trace event form, JSON that trace viewers open: a slice for each
    /// execute, an asynchronous one for each interrupt, and a mark where stopping began.
    pub fn to_trace(&self) -> String {
        let mut out = String::from("{\"displayTimeUnit\":\"ms\",\"traceEvents\":[");
        let mut first = true;
        let mut push = |event: String| {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            out.push('\n');
            out.push_str(&event);
        };
        push(
            "{\"name\":\"process_name\",\"ph\":\"M\",\"pid\":1,\"tid\":0,\
             \"args\":{\"name\":\"rungroup\"}}"
                .to_owned(),
        );
        for (index, record) in self.records.iter().enumerate() {
            let tid = index + 1;
            let name = json(&record.name().to_string_lossy());
            push(format!(
                "{{\"name\":\"thread_name\",\"ph\":\"M\",\"pid\":1,\"tid\":{tid},\
                 \"args\":{{\"name\":{name}}}}}"
            ));
            if let Some(started) = self.started_at {
                let (code, message) = record.outcome.as_ref().map_or_else(
                    || ("null".to_owned(), "\"\"".to_owned()),
                    |outcome| {
                        let message = json(&outcome.message.to_string_lossy());
                        (outcome.code.to_string(), message)
                    },
                );
                let end = record.returned.filter(|_| !record.stuck.execute);
                push(format!(
                    "{{\"name\":{name},\"cat\":\"execute\",\"ph\":\"X\",\"pid\":1,\"tid\":{tid},\
                     \"ts\":{},\"dur\":{},\"args\":{{\"code\":{code},\"message\":{message},\
                     \"stuck\":{},\"cause\":{}}}}}",
                    micros(started),
                    micros(end.unwrap_or(self.end).saturating_sub(started)),
                    record.stuck.execute,
                    self.initiator() == Some(index),
                ));
            }
            if let Some(began) = record.interrupting {
                let end = record.interrupted.filter(|_| !record.stuck.interrupt);
                // Slices of one thread may only nest, but its execute may return
                // meanwhile: so these are asynchronous events, a begin and an end.
                let name = json(&format!("interrupt of {}", record.name().to_string_lossy()));
                let end = end.unwrap_or(self.end).max(began);
                for (phase, time) in [("b", began), ("e", end)] {
                    push(format!(
                        "{{\"name\":{name},\"cat\":\"interrupt\",\"ph\":\"{phase}\",\"id\":{tid},\
                         \"pid\":1,\"tid\":{tid},\"ts\":{},\"args\":{{\"stuck\":{}}}}}",
                        micros(time),
                        record.stuck.interrupt,
                    ));
                }
            }
        }
        if let Some(cause) = &self.cause {
            push(format!(
                "{{\"name\":\"stopping\",\"cat\":\"group\",\"ph\":\"i\",\"s\":\"p\",\"pid\":1,\
                 \"tid\":0,\"ts\":{},\"args\":{{\"code\":{},\"message\":{}}}}}",
                micros(self.stopping_at),
                cause.code,
                json(&cause.message.to_string_lossy()),
            ));
        }
        out.push_str("\n]}\n");
        out
    }

    fn initiator(&self) -> Option<usize> {
        self.cause.as_ref()?.index
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
            Some(code) if code == Error::TimedOut.code() => {
                writeln!(
                    f,
                    ", not stopped within its grace of {}",
                    Time(self.grace.unwrap_or(0))
                )
            }
            Some(_) => writeln!(f, ", stopped in {took}"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.headline(f)?;
        for record in self.records.iter().filter(|record| record.stuck.any()) {
            let what = match (record.stuck.execute, record.stuck.interrupt) {
                (true, true) => "its execute and its interrupt have not returned",
                (true, false) => "its execute has not returned",
                _ => "its interrupt has not returned",
            };
            writeln!(f, "  STUCK \"{}\": {what}", record.name().to_string_lossy())?;
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
            let returned = record.returned.filter(|_| !record.stuck.execute);
            let ran = returned.unwrap_or(self.end).saturating_sub(started);
            let stop = self.cause.as_ref().map(|_| {
                returned
                    .unwrap_or(self.end)
                    .saturating_sub(self.stopping_at)
            });
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

/// Who ended the group, and why, in half a sentence; empty before.
pub fn ended_by(machine: &mut Machine) -> String {
    machine.make_names();
    machine.cause().map_or(String::new(), |cause| {
        EndedBy(cause, machine.records()).to_string()
    })
}

struct EndedBy<'a>(&'a Cause, &'a [Record]);

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

/// A code and what was said with it.
struct Said<'a>(i32, &'a str);

impl fmt::Display for Said<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Error::from_code(self.0) {
            Some(Error::Panic) => f.write_str("a panic")?,
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

/// Trace times are in microseconds.
fn micros(ns: Nanos) -> String {
    format!("{}.{:03}", ns / 1000, ns % 1000)
}

fn json(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if u32::from(c) < 0x20 => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
