//! The report's form for trace viewers.

use super::Report;
use crate::machine::Nanos;
use std::fmt::Write;

impl Report {
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
                let end = record.returned_in_time();
                push(format!(
                    "{{\"name\":{name},\"cat\":\"execute\",\"ph\":\"X\",\"pid\":1,\"tid\":{tid},\
                     \"ts\":{},\"dur\":{},\"args\":{{\"code\":{code},\"message\":{message},\
                     \"stuck\":{},\"cause\":{}}}}}",
                    micros(started),
                    micros(end.unwrap_or(self.end).saturating_sub(started)),
                    record.stuck.on_its_thread(),
                    self.initiator() == Some(index),
                ));
            }
            if let Some(began) = record.interrupting {
                let end = record.interrupted_in_time();
                // Slices of one thread must nest, but an execute may return during its
                // interrupt: so an interrupt is a pair of asynchronous events.
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
}

/// The time in microseconds, as traces have it.
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
