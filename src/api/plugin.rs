//! For Rust code that another program loads: actors for a group that somebody
//! else made, in whatever language and by whatever copy of the library.

#![allow(unsafe_code)]

use super::actor::{Execute, IntoComplaint, IntoOutcome, cause, complaint};
use super::name::in_span;
use super::token::StopToken;
use crate::abi::{rg_actor, rg_group};
use crate::capi::table::{Table, table};
use crate::error::Error;
use crate::report::Cause;
use crate::run::actor::{Actor, Work};
use crate::run::failure;
use crate::text;
use std::ffi::c_void;
use std::fmt;
use std::os::fd::BorrowedFd;

/// A group of the program that loaded this code, by its C handle
/// (`rg_group *`), for plugins: they add actors, and leave running it to the
/// host.
///
/// ```no_run
/// use rungroup::{Error, Host, StopToken, interrupt_none};
/// use std::ffi::{c_int, c_void};
///
/// #[unsafe(no_mangle)]
/// pub unsafe extern "C" fn my_plugin_join(group: *mut c_void) -> c_int {
///     let join = || -> Result<(), Error> {
///         // SAFETY: the program passes its group, which it has not run or freed.
///         let host = unsafe { Host::from_raw(group)? };
///         host.add("plugin", |stop: StopToken| stop.wait(), interrupt_none)
///     };
///     join().map_or_else(Error::code, |()| 0)
/// }
/// ```
pub struct Host {
    handle: *mut rg_group,
    /// Of the copy that made the group, which is not unmapped before that is
    /// freed.
    table: &'static Table,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Host")
    }
}

impl Host {
    /// The group behind the handle.
    ///
    /// # Errors
    /// [`Error::Invalid`] for NULL; [`Error::Abi`] for the handle of a copy
    /// that this one cannot work with.
    ///
    /// # Safety
    /// `group` is NULL or an `rg_group *` that is not freed as long as the
    /// value lives. (What it adds and the tokens that it gives may live
    /// longer.)
    pub unsafe fn from_raw(group: *mut c_void) -> Result<Self, Error> {
        let handle = group.cast::<rg_group>();
        // SAFETY: the caller's promise.
        let table = unsafe { table(handle)? };
        Ok(Host { handle, table })
    }

    /// Adds an actor, as [`Group::add`](crate::Group::add) does. An error that
    /// `execute` returns reaches the host as code 1 with its text.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name longer than 255 bytes or with a NUL;
    /// [`Error::State`] once the group was run; [`Error::Memory`].
    pub fn add<Form, C: IntoComplaint + 'static>(
        &self,
        name: impl Into<String>,
        execute: impl Execute<Form>,
        interrupt: impl FnOnce(&Cause<'_>) -> C + Send + 'static,
    ) -> Result<(), Error> {
        let called = name.into();
        let name = text::without_nul(&called)?;
        let execute = execute.bind(|| self.stop_token())?;
        let actor = Actor::from_closures(
            called,
            move || in_span(|| execute().into_outcome().0),
            move |given| complaint(in_span(|| interrupt(&cause(given)))),
        );
        let Work::Thread(execute) = actor.work else {
            return Err(Error::Invalid); // closures run on threads
        };
        let given = rg_actor {
            size: size_of::<rg_actor>(),
            name: name.as_ptr(),
            execute: Some(execute),
            interrupt: Some(actor.calls.interrupt),
            userdata: actor.calls.userdata,
            release: actor.release,
            stack_size: 0,
        };
        // SAFETY: the group lives, its table is its own, and the structure is
        // whole.
        let result = unsafe { (self.table.add_actor)(self.handle, &given, failure::take) };
        match Error::from_code(result) {
            Some(error) => Err(error), // the closures are dropped with the actor
            None => {
                // Its own drop would release what is the group's now.
                std::mem::forget(actor);
                Ok(())
            }
        }
    }

    /// Where actors see, and wait for, the stop. It may outlive the group.
    ///
    /// # Errors
    /// [`Error::Memory`] when the process has no descriptor left.
    pub fn stop_token(&self) -> Result<StopToken, Error> {
        // SAFETY: the group lives.
        let fd = unsafe { (self.table.stop_fd)(self.handle) };
        if let Some(error) = Error::from_code(fd) {
            return Err(error);
        }
        // SAFETY: the group's descriptor, open as long as the group lives.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let copy = fd.try_clone_to_owned().map_err(|_| Error::Memory)?;
        Ok(StopToken::of_host(copy))
    }
}
