//! The coordinator owns jobs: it is the only HTTP surface and the only user of Postgres.
//!
//! **Owns** the decisions: which tasks exist ([`enqueue`]), which are handed out and when ([`dispatch`]), what becomes of
//! what workers say ([`outcomes`]), what is done when nobody says anything ([`sweep`]), what a lost database is
//! rebuilt from ([`archive`], [`rebuild`]), what is signed in the installation's name ([`signing`], [`seal`], [`companions`]), who may do what ([`access`]), and what people see ([`http`], [`dashboard`]).
//!
//! **Never** touches a tensor or links libtorch, and never holds state that matters in memory: bells ([`wake`]) only make
//! things sooner. Any number of coordinators may run at once.
//!
//! **After a crash** a restarted coordinator, or the one beside it, goes on from what Postgres says: cursors of half-written
//! jobs, unpublished outbox rows, unacknowledged outcomes, hand-outs that nobody answers for.

pub mod access;
pub mod app;
pub mod archive;
pub mod believed;
pub mod companions;
pub mod config;
pub mod dashboard;
pub mod dispatch;
pub mod duration;
pub mod enqueue;
pub mod error;
pub mod framable;
pub mod http;
pub mod import;
pub mod keys;
pub mod lineage;
pub mod live;
pub mod measurable;
pub mod outcomes;
pub mod pods;
pub mod rebuild;
pub mod relay;
pub mod seal;
pub mod signing;
pub mod submit;
pub mod sweep;
pub mod wake;
