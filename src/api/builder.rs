//! Options of a group and of an actor.

use super::actor::{Execute, IntoComplaint, IntoOutcome, cause, complaint};
use super::completion::Completion;
use super::group::Group;
use super::name::in_span;
use super::token::StopToken;
use crate::capi::table::head;
use crate::error::Error;
use crate::machine::Order;
use crate::report::Cause;
use crate::run::actor::Actor;
use crate::sync::atomic::Ordering::SeqCst;
use crate::text;
use std::time::Duration;

/// Options of a [`Group`]; see [`Group::builder`].
#[derive(Clone, Copy, Debug, Default)]
#[must_use = "there is no group before `build`"]
pub struct Builder {
    grace: Option<Duration>,
    order: Order,
    chain_signals: bool,
}

impl Builder {
    /// How long stopping may take: then `run` returns, whatever is stuck (rule 10).
    /// By default it waits for ever.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// The order of interrupts (rule 6); by default as added.
    pub fn order(mut self, order: Order) -> Self {
        self.order = order;
        self
    }

    /// Whether signal actors also hand a signal on to the handler that was there
    /// before the run: for programs in which another runtime must see it too. By
    /// default they do not.
    pub fn chain_signals(mut self, chain: bool) -> Self {
        self.chain_signals = chain;
        self
    }

    /// The group.
    pub fn build(self) -> Group {
        let group = Group::new();
        let grace = self
            .grace
            .map(|grace| u64::try_from(grace.as_nanos()).unwrap_or(u64::MAX));
        group.core.with(|machine| {
            // A new group takes every setting.
            let _ = machine.set_grace(grace).and(machine.set_order(self.order));
        });
        group.core.chain_signals.store(self.chain_signals, SeqCst);
        group
    }
}

/// Options of an actor; see [`Group::actor`].
#[derive(Debug)]
#[must_use = "nothing is added before `add`"]
pub struct ActorBuilder<'a> {
    pub(super) group: &'a mut Group,
    pub(super) name: String,
    stack_size: usize,
    #[cfg(feature = "tokio")]
    pub(super) runtime: Option<tokio::runtime::Handle>,
}

impl<'a> ActorBuilder<'a> {
    pub(super) fn new(group: &'a mut Group, name: String) -> Self {
        ActorBuilder {
            group,
            name,
            stack_size: 0,
            #[cfg(feature = "tokio")]
            runtime: None,
        }
    }

    /// Bytes of stack, from 16 KiB to 2^46; the default is 8 MiB. An actor without
    /// a thread has none.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = bytes;
        self
    }

    /// Adds the actor with these options, and gives its index; see [`Group::add`].
    ///
    /// # Errors
    /// As [`Group::add`]; [`Error::Invalid`] also for a stack size out of range.
    pub fn add<Form, C: IntoComplaint + 'static>(
        self,
        execute: impl Execute<Form>,
        interrupt: impl FnOnce(&Cause<'_>) -> C + Send + 'static,
    ) -> Result<usize, Error> {
        let stop = self.group.core.stop.clone();
        let execute = execute.bind(|| Ok(StopToken::new(stop)))?;
        let (errors, index) = (self.group.errors.clone(), self.group.next_index());
        let execute = move || {
            in_span(|| {
                let (outcome, error) = execute().into_outcome();
                if let Some(error) = error {
                    errors.lock().insert(index, error);
                }
                outcome
            })
        };
        let mut actor = Actor::from_closures(self.name.clone(), execute, move |given| {
            complaint(in_span(|| interrupt(&cause(given))))
        });
        actor.stack_size = self.stack_size;
        self.add_actor(actor)
    }

    /// Adds the actor, without a thread, and gives its index; see [`Group::add_async`].
    ///
    /// # Errors
    /// As [`Group::add`].
    pub fn add_async<C: IntoComplaint + 'static>(
        self,
        start: impl FnOnce(Completion) + Send + 'static,
        interrupt: impl FnOnce(&Cause<'_>) -> C + Send + 'static,
    ) -> Result<usize, Error> {
        let (errors, index) = (self.group.errors.clone(), self.group.next_index());
        let actor = Actor::from_async_closures(
            self.name.clone(),
            head(),
            move |done| in_span(|| start(Completion::new(done, errors, index))),
            move |given| complaint(in_span(|| interrupt(&cause(given)))),
        );
        self.add_actor(actor)
    }

    fn add_actor(self, actor: Actor) -> Result<usize, Error> {
        let core = &self.group.core;
        core.adding(|| {
            let name = text::name(&text::without_nul(&self.name)?)?;
            // A refused actor's closures are dropped with it.
            let added = core.add(Some(name), actor);
            added.map_err(|(error, _)| error)
        })
    }
}
