//! What a task does: it sleeps, then appends one line to a file. And what a producer says.

use crate::Error;
use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A setting that the driver gives.
pub fn setting(name: &str) -> Result<String, Error> {
    std::env::var(name).map_err(|_| format!("{name} is not set").into())
}

/// Tasks at once in this process.
pub fn slots() -> Result<usize, Error> {
    Ok(setting("PEER_SLOTS")?.parse()?)
}

/// The task. `S` says that it began (only where kills are measured), `E` is its effect.
pub async fn task(no: u64) -> Result<(), Error> {
    if std::env::var_os("PEER_STARTS").is_some() {
        line('S', no)?;
    }
    let pause = Duration::from_millis(setting("PEER_PAUSE_MS")?.parse()?);
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
    line('E', no)
}

/// One `write` of one line to a file opened for appending: lines of several processes do not mix.
fn line(what: char, no: u64) -> Result<(), Error> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let mut file = OpenOptions::new().append(true).create(true).open(setting("PEER_EFFECTS")?)?;
    file.write_all(format!("{what} {no} {} {now}\n", std::process::id()).as_bytes())?;
    Ok(())
}

/// Says how long enqueueing took, without the start of the process.
pub fn enqueued(began: Instant) -> Result<(), Error> {
    println!("{{\"seconds\": {}}}", began.elapsed().as_secs_f64());
    Ok(())
}
