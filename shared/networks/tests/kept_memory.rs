//! What the process frees stays with it until it is released. A program of its own, because the allocator has to be told before there is a
//! second thread, and a test harness has threads before it has tests; what a harness is asked for a list of tests, it answers.

use networks::device::memory::{available, keep_freed, release_freed};

const NAME: &str = "what_is_freed_is_kept_until_it_is_released";
const SIZE: usize = 1 << 30;

#[expect(clippy::print_stdout, reason = "the answer to a test runner")]
fn main() {
    let asked: Vec<String> = std::env::args().skip(1).collect();
    let has = |flag: &str| asked.iter().any(|argument| argument == flag);
    if has("--list") {
        if !has("--ignored") {
            println!("{NAME}: test");
        }
        return;
    }
    if cfg!(not(target_env = "gnu")) {
        return;
    }
    keep_freed();
    // As the worker does it: not on the first thread.
    std::thread::spawn(try_it).join().expect("it holds");
}

fn try_it() {
    let before = (resident(), beyond_the_machines());
    drop(std::hint::black_box(vec![1_u8; SIZE]));
    assert!(resident() > before.0 + SIZE / 2, "it is kept: {} after {before:?}", resident());
    // It counts as free all the same.
    let now = beyond_the_machines();
    assert!(now > before.1 + SIZE as i64 / 2, "{now} after {before:?}");
    release_freed();
    assert!(resident() < before.0 + SIZE / 2, "it is released: {} after {before:?}", resident());
}

/// What is available beyond what the machine has, in bytes: both in one moment, because others on the machine take and give meanwhile.
fn beyond_the_machines() -> i64 {
    let machine = std::fs::read_to_string("/proc/meminfo").expect("the system tells");
    let line = machine.lines().find_map(|line| line.strip_prefix("MemAvailable:")).expect("it tells what is available");
    let kibibytes: i64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
    i64::try_from(available().expect("it tells")).expect("so few bytes") - 1024 * kibibytes
}

fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("the system tells");
    pages.split_whitespace().nth(1).and_then(|count| count.parse::<usize>().ok()).expect("a number of pages") * 4096
}
