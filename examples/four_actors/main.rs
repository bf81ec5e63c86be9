//! Four components that live and die together: a state machine, an HTTP server
//! that shows its state, a cron job that reads it, and a signal listener.
//!
//! ```sh
//! cargo run --example four_actors -- [port]   # 8080 if not given; 0: any
//! curl localhost:8080/       # the state
//! curl localhost:8080/slow   # takes two seconds: try Ctrl-C meanwhile
//! curl localhost:8080/hang   # takes longer than the grace: Ctrl-C, and the
//!                            # report says who is stuck
//! ```

use rungroup::{Exit, Group, Order, StopToken, interrupt_none};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;
use tiny_http::{Request, Response, Server};

/// The state machine: a traffic light.
#[derive(Default)]
struct Light {
    step: AtomicUsize,
}

impl Light {
    /// Advances until the other end of `quit` is gone: it has a way of its own
    /// to be stopped.
    fn run(&self, quit: &Receiver<()>) {
        let pause = Duration::from_millis(400);
        while quit.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
            self.step.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn describe(&self) -> String {
        let step = self.step.load(Ordering::Relaxed);
        format!("step {step}: {}", ["red", "green", "yellow"][step % 3])
    }
}

/// The HTTP server: a thread for each request.
fn serve(port: u16, light: &Light, stop: &StopToken) -> Result<(), Box<dyn Error + Send + Sync>> {
    let server = Server::http(("127.0.0.1", port))
        .map_err(|error| format!("cannot listen on port {port}: {error}"))?;
    println!("http: listening on http://{}/", server.server_addr());
    let in_flight = AtomicUsize::new(0);

    // The scope ends when every request that was taken is answered.
    thread::scope(|scope| {
        scope.spawn(|| {
            for request in server.incoming_requests() {
                in_flight.fetch_add(1, Ordering::Relaxed);
                scope.spawn(|| {
                    answer(request, light);
                    in_flight.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        stop.wait();
        server.unblock();
        let in_flight = in_flight.load(Ordering::Relaxed);
        println!("http: stopping, {in_flight} in flight");
    });
    Ok(())
}

fn answer(request: Request, light: &Light) {
    println!("http: {} {}", request.method(), request.url());
    match request.url() {
        "/slow" => thread::sleep(Duration::from_secs(2)),
        "/hang" => thread::sleep(Duration::from_secs(60)),
        _ => {}
    }
    // A client that is gone needs no answer.
    let _ = request.respond(Response::from_string(light.describe() + "\n"));
}

/// The cron job: its pause ends when the group stops.
fn run_cron(light: &Light, stop: &StopToken) {
    while !stop.wait_timeout(Duration::from_secs(1)) {
        println!("cron: {}", light.describe());
    }
}

fn main() -> Result<Exit, Box<dyn Error>> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse()?,
        None => 8080,
    };
    // Staged: the state machine is stopped last, when nobody reads it any more.
    let mut group = Group::builder()
        .grace(Duration::from_secs(5))
        .order(Order::Staged)
        .build();
    let light = Arc::new(Light::default());

    let (quit, asked) = mpsc::channel();
    let machine = light.clone();
    group.add("machine", move || machine.run(&asked), |_| drop(quit))?;

    let state = light.clone();
    let http = move |stop: StopToken| serve(port, &state, &stop);
    group.add("http", http, interrupt_none)?;

    let cron = move |stop: StopToken| run_cron(&light, &stop);
    group.add("cron", cron, interrupt_none)?;

    group.add_signals(&[])?;

    let result = group.run();
    print!("{}", group.report());
    // With the cause's code, also if actors are stuck: their threads end with the
    // process.
    Ok(result.into())
}
