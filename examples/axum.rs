//! An HTTP server on axum, a cron job on a thread, and Ctrl-C: one group. The server
//! is a future; it answers what it has begun before the group ends.
//!
//! ```sh
//! cargo run --features tokio --example axum -- [port]   # 8080 if not given; 0: any
//! curl localhost:8080/       # how often the cron job has run
//! curl localhost:8080/slow   # takes two seconds: try Ctrl-C meanwhile
//! ```

use axum::{Router, routing::get};
use rungroup::{CancellationToken, Exit, Group, Order, StopToken, interrupt_none};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::net::TcpListener;

type Count = Arc<AtomicUsize>;

async fn serve(listener: TcpListener, runs: Count, stop: CancellationToken) -> std::io::Result<()> {
    let shown = move || async move { format!("{} runs\n", runs.load(Relaxed)) };
    let slow = || async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        "done\n"
    };
    let app = Router::new()
        .route("/", get(shown))
        .route("/slow", get(slow));
    axum::serve(listener, app)
        .with_graceful_shutdown(stop.cancelled_owned())
        .await
}

fn cron(runs: &Count, stop: &StopToken) {
    while !stop.wait_timeout(Duration::from_secs(1)) {
        runs.fetch_add(1, Relaxed);
    }
}

/// Public for the test that runs this program.
#[tokio::main]
pub async fn main() -> Result<Exit, Box<dyn Error>> {
    let port = match std::env::args().nth(1) {
        Some(port) => port.parse()?,
        None => 8080,
    };
    let listener = TcpListener::bind(("127.0.0.1", port)).await?;
    println!("listening on http://{}/", listener.local_addr()?);

    let mut group = Group::builder()
        .grace(Duration::from_secs(5))
        .order(Order::Reverse)
        .build();
    let runs = Count::default();
    let shown = runs.clone();
    group.add(
        "cron",
        move |stop: StopToken| cron(&runs, &stop),
        interrupt_none,
    )?;
    group.add_future("http", |stop| serve(listener, shown, stop))?;
    group.add_signals(&[])?;
    Ok(group.run_async().await.into()) // Ctrl-C: exit status 130
}
