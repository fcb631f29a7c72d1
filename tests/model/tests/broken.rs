//! Variants that leave a rule out: each must be caught, by the property that the rule is for.
#![expect(clippy::print_stdout, reason = "what was explored is the test's finding")]

use protocol_model::{Broken, Budget, Protocol, names};
use stateright::{Checker, HasDiscoveries, Model};

/// The steps that lead to a state where `property` does not hold.
fn caught(broken: Broken, property: &'static str, protocol: Protocol) {
    let protocol = Protocol { broken: Some(broken), ..protocol };
    let wanted = HasDiscoveries::AnyOf(std::collections::BTreeSet::from([property]));
    let checker = protocol.checker().threads(1).finish_when(wanted).spawn_bfs().join();
    let path = checker.discovery(property);
    let steps = path.unwrap_or_else(|| panic!("{broken:?} was not caught by '{property}'")).into_actions();
    println!("{broken:?} is caught by '{property}' in {} steps: {steps:?}", steps.len());
}

fn small(budget: Budget) -> Protocol {
    Protocol { tasks: 1, workers: 2, folding: false, budget, broken: None }
}

#[test]
fn an_acknowledgement_before_the_confirm_loses_hand_outs() {
    caught(Broken::AckBeforeConfirm, names::REACHABLE, small(Budget { deaths: 1, ..Budget::default() }));
}

#[test]
fn a_fence_by_attempt_lets_stale_outcomes_in() {
    caught(Broken::FenceByAttempt, names::FENCED, small(Budget { hasty: 1, ..Budget::default() }));
}

#[test]
fn a_cursor_by_id_forgets_rows_that_commit_late() {
    let two = Protocol { tasks: 2, workers: 1, ..small(Budget::default()) };
    caught(Broken::CursorById, names::REACHABLE, two.clone());
    caught(Broken::CursorById, names::FINISHES, two);
}

#[test]
fn a_leader_without_epoch_folds_twice() {
    let folding = Protocol { workers: 1, folding: true, ..small(Budget { elections: 1, ..Budget::default() }) };
    caught(Broken::NoLeaderEpoch, names::COUNTS, folding);
}

#[test]
fn a_finish_in_any_state_counts_twice() {
    let doubled = Budget { doubled: 1, ..Budget::default() };
    caught(Broken::FinishInAnyState, names::ONE_RESULT, small(doubled));
    caught(Broken::FinishInAnyState, names::ENDS_ONCE, small(doubled));
}

#[test]
fn a_count_in_a_statement_of_its_own_is_wrong_in_between() {
    caught(Broken::DeltaApart, names::COUNTS, small(Budget::default()));
}

#[test]
fn a_finish_that_does_not_look_at_the_job_commits_after_the_cancel() {
    caught(Broken::CommitAfterCancel, names::CANCEL, small(Budget { cancels: 1, ..Budget::default() }));
}

#[test]
fn a_result_that_is_told_before_it_is_stored_points_at_nothing() {
    caught(Broken::TellBeforePut, names::OBJECT, small(Budget::default()));
}

#[test]
fn a_row_that_is_deleted_before_it_is_confirmed_loses_its_hand_out() {
    caught(Broken::DeleteBeforeConfirm, names::REACHABLE, small(Budget { deaths: 1, ..Budget::default() }));
}

#[test]
fn an_outcome_from_a_stranger_changes_another_workers_task() {
    caught(Broken::AnyHolder, names::FENCED, small(Budget { doubled: 1, ..Budget::default() }));
}
