//! Wall-clock and processor time. On a machine that is shared with other work only the latter is the method's own.

use crate::edit::Spent;
use anyhow::{Context as _, Result};
use std::time::Instant;

/// A running clock.
pub struct Clock {
    began: Instant,
    cpu: f64,
}

impl Clock {
    /// Starts it.
    ///
    /// # Errors
    /// When the system does not tell this process's processor time.
    pub fn start() -> Result<Self> {
        Ok(Self { began: Instant::now(), cpu: cpu_seconds()? })
    }

    /// Time since the start.
    ///
    /// # Errors
    /// When the system does not tell this process's processor time.
    pub fn read(&self) -> Result<Spent> {
        Ok(Spent { seconds: self.began.elapsed().as_secs_f64(), cpu_seconds: cpu_seconds()? - self.cpu })
    }
}

/// User and system time of all threads of this process.
fn cpu_seconds() -> Result<f64> {
    /// Linux reports in these whatever its own tick.
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    parse(&stat).map(|ticks| ticks / TICKS_A_SECOND).with_context(|| format!("/proc/self/stat holds {stat:?}"))
}

/// Fields 14 and 15 of proc(5)'s `stat`. The second field is the program's name in parentheses, and may hold blanks.
fn parse(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some(fields.next()?.parse::<f64>().ok()? + fields.next()?.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_blanks_does_not_shift_the_fields() {
        assert_eq!(parse("7 (a ) b) R 1 2 3 4 5 6 7 8 9 10 250 30 0 0"), Some(280.0));
        assert_eq!(parse("7 (a"), None);
    }

    #[test]
    fn work_takes_processor_time() {
        let clock = Clock::start().unwrap();
        let mut sum = 0.0_f64;
        while clock.began.elapsed().as_millis() < 200 {
            sum += std::hint::black_box(1.0);
        }
        assert!(sum > 0.0 && clock.read().unwrap().cpu_seconds > 0.0);
    }
}
