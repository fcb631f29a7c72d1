//! The protocol as it is, explored to the end: no property is broken in any state that the bounds allow.
#![expect(clippy::print_stdout, reason = "what was explored is the test's finding")]

use protocol_model::{Budget, Protocol};
use stateright::{Checker, Model};
use std::time::Instant;

fn explore(what: &str, protocol: Protocol) {
    let began = Instant::now();
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    println!(
        "{what}: {} states, {} transitions, depth {}, {:.1} s",
        checker.unique_state_count(),
        checker.state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f64()
    );
    assert!(checker.is_done(), "{what} was not explored to the end");
    checker.assert_properties();
}

fn tasks(tasks: u8, workers: u8, budget: Budget) -> Protocol {
    Protocol { tasks, workers, folding: false, budget, broken: None }
}

#[test]
fn workers_die_and_messages_are_lost() {
    explore("deaths and losses", tasks(1, 2, Budget { deaths: 1, lost: 1, yielded: 1, ..Budget::default() }));
}

#[test]
fn workers_hang_and_messages_are_doubled() {
    explore("time-outs and doubles", tasks(1, 2, Budget { doubled: 1, hasty: 1, failed: 1, ..Budget::default() }));
}

#[test]
fn attempts_fail_and_are_handed_back_and_revived() {
    let budget = Budget { failed: 2, yielded: 1, doubled: 1, revivals: 1, ..Budget::default() };
    explore("attempts", tasks(1, 1, budget));
}

#[test]
fn a_cancel_meets_everything() {
    let budget = Budget { cancels: 1, doubled: 1, hasty: 1, ..Budget::default() };
    explore("cancel, doubles, time-outs", tasks(1, 2, budget));
    let budget = Budget { cancels: 1, deaths: 1, lost: 1, yielded: 1, ..Budget::default() };
    explore("cancel, deaths, losses, yields", tasks(1, 1, budget));
}

#[test]
fn a_task_is_paused_and_resumed_between_any_two_steps() {
    let budget = Budget { pauses: 2, failed: 1, yielded: 1, doubled: 1, ..Budget::default() };
    explore("pauses, failures, yields", tasks(1, 1, budget));
    explore("pauses and a cancel", tasks(2, 1, Budget { pauses: 1, cancels: 1, hasty: 1, ..Budget::default() }));
}

#[test]
fn two_dispatchers_share_one_outbox() {
    explore("outbox", tasks(2, 1, Budget { deaths: 1, doubled: 1, ..Budget::default() }));
}

#[test]
fn leaders_come_and_go_between_reading_and_folding() {
    let budget = Budget { elections: 2, failed: 1, ..Budget::default() };
    explore("fold", Protocol { folding: true, ..tasks(1, 1, budget) });
}
