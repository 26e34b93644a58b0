//! The rows.  Names end in w1 or w2, the number of worker threads, where the other sides' do.

use crate::{fixed_row, loop_row, millis_since, status_number, Found, Options, Row};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};

const BURST: u64 = 1_000_000;
const SLEEPERS: u64 = 100_000;
const FIB: u64 = 27;
const NAP: Duration = Duration::from_millis(100);

fn runtime(workers: usize) -> Runtime {
    Builder::new_multi_thread()
        .worker_threads(workers)
        .max_blocking_threads(20_000)
        .enable_time()
        .build()
        .expect("a runtime")
}

/// Runs `body` as a task, as the other sides' rows run on a green thread.
fn block_on_task<T: Send + 'static>(
    runtime: &Runtime,
    body: impl Future<Output = T> + Send + 'static,
) -> T {
    runtime.block_on(async { tokio::spawn(body).await.expect("the task of the row") })
}

// ---- spawn ----

fn spawn_join(workers: usize, options: &Options, found: &mut Found) {
    let runtime = runtime(workers);
    loop_row(options, found, |n| {
        block_on_task(&runtime, async move {
            let start = Instant::now();
            for _ in 0..n {
                tokio::spawn(async {}).await.expect("an empty task");
            }
            start.elapsed()
        })
    });
}

async fn burst(n: u64) -> Duration {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let left = Arc::new((std::sync::atomic::AtomicU64::new(n), std::sync::Mutex::new(Some(sender))));
    let start = Instant::now();
    for _ in 0..n {
        let left = left.clone();
        tokio::spawn(async move {
            if left.0.fetch_sub(1, std::sync::atomic::Ordering::AcqRel) == 1 {
                let sender = left.1.lock().expect("nobody panics").take();
                let _ = sender.expect("one is the last").send(());
            }
        });
    }
    receiver.await.expect("the last task");
    start.elapsed()
}

fn spawn_burst(workers: usize, options: &Options, found: &mut Found) {
    let runtime = runtime(workers);
    fixed_row(options, found, BURST, || block_on_task(&runtime, burst(BURST)));
}

// ---- fork and join ----

/// One half in a task of its own, the other here; below 2 there is nothing to split.
fn fib(n: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move {
        if n < 2 {
            return n;
        }
        let other = tokio::spawn(fib(n - 1));
        let here = fib(n - 2).await;
        other.await.expect("a half") + here
    })
}

fn fork_join(workers: usize, options: &Options, found: &mut Found) {
    let runtime = runtime(workers);
    let run = || {
        block_on_task(&runtime, async {
            let start = Instant::now();
            assert_eq!(fib(FIB).await, 196_418);
            start.elapsed()
        })
    };
    run();
    for _ in 0..options.samples.min(3) {
        found.samples.push(run().as_nanos() as f64 / 1e6);
    }
}

// ---- skynet: a tree of a million leaves, ten children a node, sums come back over channels ----

fn skynet(
    to: tokio::sync::mpsc::Sender<u64>,
    number: u64,
    size: u64,
) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        if size == 1 {
            let _ = to.send(number).await;
            return;
        }
        let (sender, mut receiver) = tokio::sync::mpsc::channel(10);
        for i in 0..10 {
            tokio::spawn(skynet(sender.clone(), number + i * (size / 10), size / 10));
        }
        drop(sender);
        let mut sum = 0;
        for _ in 0..10 {
            sum += receiver.recv().await.expect("ten children answer");
        }
        let _ = to.send(sum).await;
    })
}

fn skynet_row(workers: usize, options: &Options, found: &mut Found) {
    let runtime = runtime(workers);
    let run = || {
        block_on_task(&runtime, async {
            let start = Instant::now();
            let (sender, mut receiver) = tokio::sync::mpsc::channel(1);
            tokio::spawn(skynet(sender, 0, 1_000_000));
            assert_eq!(receiver.recv().await, Some(499_999_500_000));
            start.elapsed()
        })
    };
    run();
    for _ in 0..options.samples.min(3) {
        found.samples.push(run().as_nanos() as f64 / 1e6);
    }
}

// ---- many sleeps at once ----

fn sleeps(options: &Options, found: &mut Found) {
    let runtime = runtime(2);
    for _ in 0..options.samples.min(3) {
        found.samples.push(block_on_task(&runtime, async {
            let start = Instant::now();
            let all: Vec<_> =
                (0..SLEEPERS).map(|_| tokio::spawn(tokio::time::sleep(NAP))).collect();
            for one in all {
                one.await.expect("a sleeper");
            }
            millis_since(start)
        }));
    }
}

// ---- many blocking calls at once, in a fresh process ----

fn block(calls: usize, found: &mut Found) {
    let runtime = runtime(2);
    let took = block_on_task(&runtime, async move {
        let start = Instant::now();
        let all: Vec<_> = (0..calls)
            .map(|_| {
                tokio::task::spawn_blocking(|| unsafe {
                    libc::usleep(100_000);
                })
            })
            .collect();
        for one in all {
            one.await.expect("a call");
        }
        millis_since(start)
    });
    found.threads = status_number("Threads:");
    found.samples.push(took);
}

// ---- memory of a parked task ----

fn parked(count: u64, found: &mut Found) {
    let runtime = runtime(1);
    let bytes = block_on_task(&runtime, async move {
        let memory = || (status_number("VmRSS:") + status_number("VmPTE:")) as f64 * 1024.0;
        let gate = Arc::new(tokio::sync::Semaphore::new(0));
        let before = memory();
        for _ in 0..count {
            let gate = gate.clone();
            tokio::spawn(async move {
                let _ = gate.acquire().await;
            });
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        let bytes = (memory() - before) / count as f64;
        gate.close();
        bytes
    });
    found.samples.push(bytes);
}

macro_rules! row {
    ($name:literal, $unit:literal, $run:expr) => {
        Row { name: $name, unit: $unit, run: $run }
    };
}

pub const ROWS: &[Row] = &[
    row!("spawn.join.w1", "ns", |o, f| spawn_join(1, o, f)),
    row!("spawn.join.w2", "ns", |o, f| spawn_join(2, o, f)),
    row!("spawn.burst.w1", "ns", |o, f| spawn_burst(1, o, f)),
    row!("spawn.burst.w2", "ns", |o, f| spawn_burst(2, o, f)),
    row!("forkjoin.w1", "ms", |o, f| fork_join(1, o, f)),
    row!("forkjoin.w2", "ms", |o, f| fork_join(2, o, f)),
    row!("skynet.w1", "ms", |o, f| skynet_row(1, o, f)),
    row!("skynet.w2", "ms", |o, f| skynet_row(2, o, f)),
    row!("sleep.100k", "ms", sleeps),
    row!("block.1000", "ms", |_, f| block(1_000, f)),
    row!("block.10000", "ms", |_, f| block(10_000, f)),
    row!("memory.parked.100k", "bytes", |_, f| parked(100_000, f)),
    row!("memory.parked.1M", "bytes", |_, f| parked(1_000_000, f)),
];
