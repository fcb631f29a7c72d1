//! The store on a real PostgreSQL: conformance with the domain's state machine, races, faults and invariants.

mod conformance;
mod control;
mod datasets;
mod dispatching;
mod enqueueing;
mod fencing;
mod rollups;
mod sharing;
mod sweeping;
mod throughput;
mod world;
