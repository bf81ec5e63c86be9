//! Actors in Rust for a group that C made. (Here by this very copy of the
//! library; the plugins' test has another one.)
#![allow(unsafe_code)]

use rungroup::{Error, Host, StopToken, interrupt_none};
use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::mpsc::channel;

unsafe extern "C" {
    safe fn rg_new() -> *mut c_void;
    fn rg_free(group: *mut c_void);
    fn rg_run(group: *mut c_void) -> c_int;
    fn rg_stop(group: *mut c_void, code: c_int) -> c_int;
    fn rg_get_cause(group: *const c_void) -> *const Cause;
}

#[repr(C)]
struct Cause {
    code: c_int,
    actor: *const c_char,
    message: *const c_char,
}

/// A group of C's, freed at the end.
struct Group(*mut c_void);

impl Group {
    fn new() -> (Self, Host) {
        let group = rg_new();
        // SAFETY: a group, used before it is freed only.
        let host = unsafe { Host::from_raw(group) };
        (Group(group), host.unwrap())
    }

    fn run(&self) -> c_int {
        // SAFETY: it is not freed yet.
        unsafe { rg_run(self.0) }
    }

    /// Code, actor, message.
    fn cause(&self) -> (c_int, String, String) {
        // SAFETY: it has run; the texts live as long as it does.
        let text = |text| unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned();
        // SAFETY: as above.
        let cause = unsafe { &*rg_get_cause(self.0) };
        (cause.code, text(cause.actor), text(cause.message))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: nobody uses it any more.
        unsafe { rg_free(self.0) };
    }
}

#[test]
fn results_and_texts_reach_the_host() {
    let (group, host) = Group::new();
    let stop = host.stop_token().unwrap();
    let (told, heard) = channel();
    host.add(
        "waits",
        move || stop.wait(),
        move |cause| {
            let (actor, message) = (cause.actor().unwrap(), cause.message());
            told.send((cause.code(), actor.to_owned(), message.to_owned()))
                .unwrap();
        },
    )
    .unwrap();
    host.add("fails", || Err::<(), _>("no disk"), interrupt_none)
        .unwrap();
    assert_eq!(group.run(), 1);
    let cause = (1, "fails".to_owned(), "no disk".to_owned());
    assert_eq!(group.cause(), cause);
    assert_eq!(heard.recv().unwrap(), cause);
}

#[test]
fn a_panic_reaches_the_host() {
    let (group, host) = Group::new();
    let execute = || panic!("index 7");
    #[allow(unreachable_code)]
    host.add("panics", move || -> i32 { execute() }, interrupt_none)
        .unwrap();
    assert_eq!(group.run(), Error::Panic.code());
    assert_eq!(group.cause().2, "index 7");
}

#[test]
fn a_refused_actor_is_dropped() {
    let captured = Arc::new(());
    let add = |host: &Host, name: &str| {
        let captured = captured.clone();
        host.add(name, move || drop(captured), interrupt_none)
    };
    let (group, host) = Group::new();
    assert_eq!(add(&host, &"n".repeat(256)), Err(Error::Invalid));
    assert_eq!(Arc::strong_count(&captured), 1);
    assert_eq!(group.run(), Error::Invalid.code());
    let (group, host) = Group::new();
    assert_eq!(add(&host, "nul\0inside"), Err(Error::Invalid));
    assert_eq!(Arc::strong_count(&captured), 1);
    assert_eq!(add(&host, "accepted"), Ok(()));
    assert_eq!(Arc::strong_count(&captured), 2);
    assert_eq!(group.run(), 0);
    assert_eq!(add(&host, "late"), Err(Error::State));
    drop(group);
    assert_eq!(Arc::strong_count(&captured), 1);
}

#[test]
fn a_token_outlives_the_group() {
    let token: StopToken = {
        let (group, host) = Group::new();
        let token = host.stop_token().unwrap();
        assert!(!token.is_stopping());
        // SAFETY: it is not freed yet.
        unsafe { rg_stop(group.0, 3) };
        assert!(token.is_stopping());
        token
    };
    assert!(token.is_stopping() && token.wait_timeout(std::time::Duration::MAX));
    token.wait();
}

#[test]
fn what_is_no_group_is_refused() {
    // SAFETY: NULL is fine.
    let null = unsafe { Host::from_raw(std::ptr::null_mut()) };
    assert_eq!(null.unwrap_err(), Error::Invalid);
    let mut stranger = [0usize; 4];
    // SAFETY: readable, and no group.
    let refused = unsafe { Host::from_raw(stranger.as_mut_ptr().cast()) };
    assert_eq!(refused.unwrap_err(), Error::Abi);
}

#[test]
fn a_stop_from_outside_has_no_actor() {
    let (group, host) = Group::new();
    assert_eq!(format!("{host:?}"), "Host");
    let stop = host.stop_token().unwrap();
    assert!(stop.fd().is_ok());
    let (told, heard) = channel();
    let interrupt = move |cause: &rungroup::Cause<'_>| {
        let actor = cause.actor().map(str::to_owned);
        told.send((actor, cause.code())).unwrap();
    };
    let address = group.0 as usize;
    let execute = move || {
        // SAFETY: it is not freed before it has run.
        unsafe { rg_stop(address as *mut c_void, 5) };
        stop.wait();
    };
    host.add("stops", execute, interrupt).unwrap();
    assert_eq!(group.run(), 5);
    assert_eq!(heard.recv().unwrap(), (None, 5));
}

/// In a process of its own, since others' tests need descriptors.
#[test]
fn a_token_needs_a_descriptor() {
    const CHILD: &str = "RUNGROUP_TEST_CHILD";
    if std::env::var_os(CHILD).is_none() {
        let program = std::env::current_exe().unwrap();
        let child = std::process::Command::new(program)
            .args(["--exact", "a_token_needs_a_descriptor"])
            .env(CHILD, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&child.stdout);
        assert!(
            child.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let (_group, host) = Group::new();
    let (_other, has_one) = Group::new();
    assert!(has_one.stop_token().is_ok());
    let at_most = |descriptors| {
        let limit = libc::rlimit {
            rlim_cur: descriptors,
            rlim_max: 1024,
        };
        // SAFETY: the structure outlives the call.
        assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    };
    at_most(0);
    assert_eq!(host.stop_token().err(), Some(Error::Memory));
    assert_eq!(has_one.stop_token().err(), Some(Error::Memory));
    at_most(1024); // whoever looks for leaks at the end needs some
}
