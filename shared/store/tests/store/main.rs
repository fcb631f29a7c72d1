//! The store on a real PostgreSQL: conformance with the domain's state machine, races, faults and invariants.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a failure is to stop the test where it happens")]

mod access;
mod archiving;
mod conformance;
mod control;
mod dash;
mod datasets;
mod dispatching;
mod enqueueing;
mod fairness;
mod fencing;
mod half_open;
mod limits;
mod pausing;
mod retention;
mod rollups;
mod scores;
mod sharing;
mod sweeping;
mod throughput;
mod verdicts;
mod world;
