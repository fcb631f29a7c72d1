//! Outputs and gradients against an independent Python reference: `make_goldens.py` beside this file, its data, and
//! the tests. `cargo test -p networks --test parity -- --nocapture` prints the measured errors.

#![expect(clippy::unwrap_used, reason = "in a test, a failed unwrap is a failed test")]

mod demo_pack;
mod golden;
mod small_networks;
mod stylegan2;
