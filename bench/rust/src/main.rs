//! rustbench ROW [--samples N] [--target-ms MS]: one row measured with Tokio's tasks.
//!
//! It prints one JSON object on one line, as gsbench does, and each of its rows does, operation by
//! operation, what the row of the same name does in ../../c.

mod rows;

use std::time::{Duration, Instant};

/// What the command line asked for.
pub struct Options {
    pub samples: usize,
    pub target: Duration,
}

/// What a row found.
#[derive(Default)]
pub struct Found {
    pub samples: Vec<f64>,
    pub threads: u64,
}

pub struct Row {
    pub name: &'static str,
    pub unit: &'static str,
    pub run: fn(&Options, &mut Found),
}

/// The number behind `name` in /proc/self/status, in the unit that stands there.
pub fn status_number(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix(name))
        .and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

/// The first run warms up and is not a sample.
pub fn fixed_row(options: &Options, found: &mut Found, n: u64, mut run: impl FnMut() -> Duration) {
    run();
    for _ in 0..options.samples {
        found.samples.push(run().as_nanos() as f64 / n as f64);
    }
}

/// Finds an n for which run(n) lasts about the target, which also warms it up, then samples it.
pub fn loop_row(options: &Options, found: &mut Found, mut run: impl FnMut(u64) -> Duration) {
    let mut n = 1u64;
    loop {
        let enough = |elapsed: Duration| elapsed.as_secs_f64() >= 0.8 * options.target.as_secs_f64();
        let mut elapsed = run(n);
        if enough(elapsed) {
            elapsed = run(n); // twice: a moment's pause is not the loop's
        }
        if enough(elapsed) {
            break;
        }
        let growth = options.target.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
        n = (n as f64 * growth.min(20.0)) as u64 + 1;
    }
    for _ in 0..options.samples {
        found.samples.push(run(n).as_nanos() as f64 / n as f64);
    }
}

pub fn millis_since(start: Instant) -> f64 {
    start.elapsed().as_nanos() as f64 / 1e6
}

fn number(name: &str, value: Option<&str>) -> f64 {
    value.and_then(|text| text.parse().ok()).unwrap_or_else(|| {
        eprintln!("rustbench: {name} needs a number");
        std::process::exit(1);
    })
}

fn main() {
    let mut options = Options { samples: 9, target: Duration::from_millis(20) };
    let mut wanted = None;
    for argument in std::env::args().skip(1) {
        let mut parts = argument.splitn(2, '=');
        match (parts.next().unwrap_or(""), parts.next()) {
            ("--samples", value) => options.samples = number("--samples", value) as usize,
            ("--target-ms", value) => {
                options.target = Duration::from_secs_f64(number("--target-ms", value) / 1e3);
            }
            ("--list", None) => {
                rows::ROWS.iter().for_each(|row| println!("{}", row.name));
                return;
            }
            (name, None) => wanted = Some(name.to_string()),
            _ => {
                eprintln!("rustbench: {argument} is not understood");
                std::process::exit(1);
            }
        }
    }
    let row = wanted.as_deref().and_then(|name| rows::ROWS.iter().find(|row| row.name == name));
    let Some(row) = row else {
        eprintln!("rustbench: a row is needed, one of rustbench --list");
        std::process::exit(1);
    };
    let mut found = Found::default();
    (row.run)(&options, &mut found);
    let samples: Vec<String> = found.samples.iter().map(|s| format!("{s:.3}")).collect();
    println!(
        "{{\"row\": \"{}\", \"unit\": \"{}\", \"samples\": [{}], \"rss_kib\": {}, \"threads\": {}}}",
        row.name,
        row.unit,
        samples.join(", "),
        status_number("VmHWM:"),
        found.threads
    );
}
