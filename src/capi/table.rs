//! The functions behind a handle. Several copies of the library meet in one
//! process (a program's and its plugins'): a handle begins with the address of
//! the table of the copy that made it, and all of them go through that.

use super::last::{self, LastError};
use super::{Handle, boundary, drive, group, null, prompt, report, signals, stop};
use crate::abi::{
    Head, rg_actor, rg_actor_report, rg_cause, rg_completion, rg_group, rg_interrupt_fn,
    rg_observer_fn, rg_release_fn, rg_start_fn, rg_summary,
};
use crate::error::Error;
use crate::run::actor::TakeFailure;
use libc::{c_char, c_int, c_void, pollfd};

const MAGIC: u64 = u64::from_ne_bytes(*b"rungroup");
/// Raised when a field of the table, or what one means, is changed. Fields are
/// only appended.
const ABI: u32 = 0;

/// From the signatures: the struct, this copy's table, and the functions that
/// are in it. Those are not the exports, since a copy's own export may be
/// hidden by another copy's, which would call itself through the table.
macro_rules! table {
    ($($name:ident($handle:ty $(, $argument:ident: $type:ty)*) -> $result:ty
        = $boundary:ident $body:path;)*) => {
        /// The functions of the copy of the library that made a handle. The layout
        /// is part of the binary interface.
        #[repr(C)]
        pub struct Table {
            magic: u64,
            abi: u32,
            size: u32,
            pub last_error: LastError,
            $(pub $name: unsafe extern "C" fn(*const $handle $(, $type)*) -> $result,)*
        }

        static TABLE: Table = Table {
            magic: MAGIC,
            abi: ABI,
            size: size_of::<Table>() as u32,
            last_error: last::sentence,
            $($name: local::$name,)*
        };

        mod local {
            use super::*;
            $(pub unsafe extern "C" fn $name(
                handle: *const $handle $(, $argument: $type)*
            ) -> $result {
                // SAFETY: `table` has checked that it is a handle, and this copy's
                // table led here. The caller's promises are the exports'.
                $boundary(concat!("rg_", stringify!($name)), || unsafe {
                    $body(&<$handle as Handle>::own(handle) $(, $argument)*)
                })
            })*
        }
    };
}

table! {
    add_actor(rg_group, actor: *const rg_actor, take: TakeFailure) -> c_int = boundary group::add_actor;
    add_async(
        rg_group,
        name: *const c_char,
        start: rg_start_fn,
        interrupt: rg_interrupt_fn,
        userdata: *mut c_void,
        release: rg_release_fn,
        take: TakeFailure
    ) -> c_int = boundary group::add_async;
    complete(rg_completion, code: c_int, message: *const c_char) -> c_int = boundary group::complete;
    set_grace(rg_group, timeout_ms: i64) -> c_int = boundary group::set_grace;
    set_order(rg_group, order: c_int) -> c_int = boundary group::set_order;
    run(rg_group) -> c_int = boundary group::run;
    start(rg_group) -> c_int = boundary group::start;
    done_fd(rg_group) -> c_int = boundary group::done_fd;
    wait(rg_group, timeout_ms: i64, code: *mut c_int) -> c_int = boundary group::wait;
    free(rg_group) -> () = boundary group::free;
    stop(rg_group, code: c_int) -> c_int = boundary stop::stop;
    stopping(rg_group) -> c_int = prompt stop::stopping;
    wait_stop(rg_group, timeout_ms: i64) -> c_int = boundary stop::wait_stop;
    stop_fd(rg_group) -> c_int = boundary stop::stop_fd;
    poll(rg_group, fds: *mut pollfd, count: usize, timeout_ms: i64) -> c_int = boundary stop::poll;
    add_signals(rg_group, signals: *const c_int, count: usize) -> c_int = boundary signals::add_signals;
    set_chain_signals(rg_group, on: c_int) -> c_int = boundary signals::set_chain_signals;
    add_systemd(rg_group) -> c_int = boundary signals::add_systemd;
    set_observer(rg_group, observer: rg_observer_fn, userdata: *mut c_void) -> c_int
        = boundary report::set_observer;
    get_cause(rg_group) -> *const rg_cause = boundary report::get_cause;
    actor_count(rg_group) -> usize = prompt report::actor_count;
    get_report(rg_group, index: usize, out: *mut rg_actor_report) -> c_int = boundary report::get_report;
    get_summary(rg_group, out: *mut rg_summary) -> c_int = boundary report::get_summary;
    format_report(rg_group, format: c_int, buffer: *mut c_char, length: usize) -> usize
        = boundary report::format_report;
    print_report(rg_group, fd: c_int) -> c_int = boundary report::print_report;
    drive_add(rg_group, name: *const c_char) -> c_int = prompt drive::drive_add;
    drive_begin(rg_group) -> c_int = boundary drive::drive_begin;
    drive_return(rg_group, index: usize, code: c_int, message: *const c_char) -> c_int
        = prompt drive::drive_return;
    drive_interrupted(rg_group, index: usize, complaint: *const c_char) -> c_int
        = prompt drive::drive_interrupted;
    drive_next(rg_group, value: *mut i64) -> c_int = prompt drive::drive_next;
    drive_fd(rg_group) -> c_int = boundary drive::drive_fd;
}

/// What the handles of this copy begin with.
pub fn head() -> Head {
    Head(std::ptr::from_ref(&TABLE).cast())
}

#[cold]
fn no_handle() -> Error {
    null("the group or the completion")
}

/// The table behind a handle of any copy of the library.
///
/// # Safety
/// NULL, or a handle that is not freed; what else is passed must at least be
/// readable.
#[inline]
pub unsafe fn table<'a, H>(handle: *const H) -> Result<&'a Table, Error> {
    if handle.is_null() {
        return Err(no_handle());
    }
    // SAFETY: every handle begins with a pointer to its table, and a table with
    // its magic and ABI number; more is read only when these are right.
    unsafe {
        let table = *handle.cast::<*const Table>();
        if std::ptr::eq(table, &TABLE) {
            return Ok(&TABLE); // this copy made the handle: nothing to check
        }
        if table.is_null() || !table.is_aligned() || (*table).magic != MAGIC || (*table).abi != ABI
        {
            return Err(Error::Abi);
        }
        if ((*table).size as usize) < size_of::<Table>() {
            return Err(Error::Abi);
        }
        Ok(&*table)
    }
}
