//! How programs end whose `main` returns [`Exit`]: with which status, with which
//! words, and soon after a signal. This program runs itself as each of them.
//!
//! `cargo test --all-features --test exits -- --time` measures instead how long a
//! signal takes to end them.
#![allow(unsafe_code)]

use rungroup::{Exit, Group, RunError, StopToken, interrupt_none};
use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

#[cfg(feature = "tokio")]
#[path = "../examples/axum.rs"]
mod axum;

/// Only a hang meets it.
const WATCHDOG: Duration = Duration::from_secs(60);

/// The programs, by name.
fn program(name: &str) -> Result<Exit, RunError> {
    let mut group = Group::builder().grace(Duration::from_secs(30)).build();
    match name {
        "threads" => {
            let waits = |stop: StopToken| {
                println!("ready");
                stop.wait();
            };
            group.add("waits", waits, interrupt_none).unwrap();
            group.add_signals(&[]).unwrap();
        }
        "fails" => {
            let full = || Err::<(), _>(std::io::Error::other("the disk is full"));
            group.add("db", full, interrupt_none).unwrap();
        }
        "coded" => _ = group.add("db", || 7, interrupt_none).unwrap(),
        "beyond a byte" => _ = group.add("db", || 256, interrupt_none).unwrap(),
        "well" => _ = group.add("db", || (), interrupt_none).unwrap(),
        "panics" => {
            rungroup::install_panic_hook();
            rungroup::install_panic_hook();
            group
                .add("db", || panic!("no luck"), interrupt_none)
                .unwrap();
        }
        "stopped" => group.stopper().stop(9),
        "asks" => {
            group
                .add("db", || Err::<(), _>("no luck"), interrupt_none)
                .unwrap();
            group.run()?;
        }
        "nested" => {
            let mut inner = Group::new();
            inner.add_signals(&[]).unwrap();
            inner.add("ready", ready, interrupt_none).unwrap();
            let stopper = inner.stopper();
            let run = move || inner.run();
            group.add("inner", run, move |_| stopper.stop(0)).unwrap();
        }
        "stuck" => {
            group = Group::builder().grace(Duration::ZERO).build();
            let deaf = || loop {
                thread::park();
            };
            group.add("deaf", deaf, interrupt_none).unwrap();
            group.add("first", || 3, interrupt_none).unwrap();
        }
        // Into a pipe that nobody reads: it holds stdout's lock, or stderr's.
        "floods stdout" | "floods stderr" => {
            group = Group::builder().grace(Duration::ZERO).build();
            let line = "x".repeat(1 << 17);
            let flood = match name {
                "floods stdout" => thread::spawn(move || println!("{line}")),
                _ => thread::spawn(move || eprintln!("{line}")),
            };
            group
                .add("floods", || flood.join().unwrap(), interrupt_none)
                .unwrap();
            group.add("first", || 3, interrupt_none).unwrap();
        }
        _ => panic!("no program {name}"),
    }
    Ok(group.run().into())
}

fn ready(stop: StopToken) {
    println!("ready");
    stop.wait();
}

fn start(name: &str) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env("RUNGROUP_PROGRAM", name);
    if name == "axum" {
        command.arg("0");
    }
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // SAFETY: signal is safe after fork. What a shell starts in the background has
    // SIGINT ignored, and an inherited ignore stays.
    unsafe {
        command.pre_exec(|| {
            libc::signal(libc::SIGINT, libc::SIG_DFL);
            Ok(())
        });
    }
    command.spawn().unwrap()
}

/// Its exit status and what it wrote to stderr. A hang becomes a failure.
fn end(name: &str, mut child: Child) -> (Option<i32>, String) {
    let (ended, end) = mpsc::channel();
    let pid = child.id() as i32;
    let mut stderr = child.stderr.take().unwrap();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), None, "{text}");
        let _ = ended.send(());
        (status.code(), text)
    });
    if end.recv_timeout(WATCHDOG) == Err(mpsc::RecvTimeoutError::Timeout) {
        // SAFETY: kill has no preconditions; the child is not waited for yet.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        panic!("{name} hangs");
    }
    reader.join().unwrap()
}

/// The same, of which nothing is read.
fn wait(name: &str, child: &mut Child) -> ExitStatus {
    let end = Instant::now() + WATCHDOG;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        if Instant::now() > end {
            let _ = child.kill();
            panic!("{name} hangs");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Starts it, sends the signal once it has said that it is ready, and gives how long
/// it then took to end.
fn stop(name: &str, signal: i32) -> Duration {
    let mut child = start(name);
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    if let Some(rest) = line.strip_prefix("listening on http://") {
        // The line comes before the group runs, and so before a signal is heard.
        ask(rest.trim_end().trim_end_matches('/'));
    }
    let sent = Instant::now();
    // SAFETY: kill has no preconditions; the child is not waited for yet.
    unsafe { libc::kill(child.id() as i32, signal) };
    let (status, text) = end(name, child);
    let took = sent.elapsed();
    assert_eq!(status, Some(128 + signal), "{name}: {text}");
    let (known, sentence) = match signal {
        libc::SIGINT => ("SIGINT", "the group was stopped by SIGINT\n"),
        _ => ("SIGTERM", "the group was stopped by SIGTERM\n"),
    };
    match name {
        "nested" => assert!(text.contains(known), "{text}"),
        _ => assert_eq!(text, sentence, "{name}"),
    }
    took
}

/// One request, whose answer says that the server runs.
fn ask(address: &str) {
    use std::io::Write;
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(WATCHDOG)).unwrap();
    write!(
        stream,
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("0 runs\n"), "{answer}");
}

fn signalled() -> &'static [&'static str] {
    match cfg!(feature = "tokio") {
        true => &["threads", "nested", "axum"],
        false => &["threads", "nested"],
    }
}

/// Status and stderr of what ends by itself.
fn ends(name: &str, status: i32, text: &str) {
    let (got, said) = end(name, start(name));
    assert_eq!(got, Some(status), "{name}: {said}");
    assert_eq!(said, text, "{name}");
}

fn check() {
    ends("well", 0, "");
    ends("fails", 1, "Error: actor \"db\" failed: the disk is full\n");
    ends(
        "coded",
        7,
        "Error: actor \"db\" ended the group with code 7\n",
    );
    let beyond = "Error: actor \"db\" ended the group with code 256\n";
    ends("beyond a byte", 1, beyond);
    ends("stopped", 9, "Error: the group was stopped with code 9\n");
    // std's own way: the sentence, and always 1.
    ends("asks", 1, "Error: actor \"db\" failed: no luck\n");

    let (status, text) = end("panics", start("panics"));
    assert_eq!(status, Some(101), "{text}");
    assert!(text.starts_with("in actor \"db\":\n"), "{text}");
    assert_eq!(text.matches("in actor").count(), 1, "{text}");
    assert!(
        text.ends_with("Error: actor \"db\" panicked: no luck\n"),
        "{text}"
    );

    // Under such a grace the others may be late as well.
    let (status, text) = end("stuck", start("stuck"));
    assert_eq!(status, Some(3), "{text}");
    let sentence =
        "Error: actor \"first\" ended the group with code 3; stuck when the grace was over: deaf";
    assert!(text.starts_with(sentence), "{text}");

    for name in ["floods stdout", "floods stderr"] {
        let mut child = start(name);
        let stderr = child.stderr.take();
        let status = wait(name, &mut child);
        assert_eq!(status.code(), Some(3), "{name}");
        drop(stderr);
    }

    for name in signalled() {
        for signal in [libc::SIGINT, libc::SIGTERM] {
            // A grace of 30 s, or of 5: none of it is needed. How long it takes is
            // for `--time` to say.
            let took = stop(name, signal);
            println!("{name}, signal {signal}: {took:?}");
            assert!(took < Duration::from_secs(4), "{name}: {took:?}");
        }
    }
}

fn time() {
    const RUNS: usize = 21;
    for name in signalled() {
        for signal in [libc::SIGINT, libc::SIGTERM] {
            let mut took: Vec<_> = (0..RUNS).map(|_| stop(name, signal)).collect();
            took.sort_unstable();
            let (median, worst) = (took[RUNS / 2], took[RUNS - 1]);
            println!("{name:<8} signal {signal:>2}: median {median:?}, worst {worst:?}");
        }
    }
}

fn main() -> Result<Exit, Box<dyn std::error::Error>> {
    match std::env::var("RUNGROUP_PROGRAM").as_deref() {
        #[cfg(feature = "tokio")]
        Ok("axum") => return axum::main(),
        // As a `main` that returns the error itself.
        Ok(name) => return program(name).map_err(Into::into),
        Err(_) if std::env::args().any(|argument| argument == "--time") => time(),
        Err(_) => check(),
    }
    Ok(Ok(()).into())
}
