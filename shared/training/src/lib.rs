//! A pack of one's own, from scratch: faces drawn from known parameters, and the training of every network of a pack on
//! them.
//!
//! This crate owns the renderer ([`faces`]): what a face is made of, how its parameters are distributed, its drawing,
//! its region masks, and its true counterfactual (the same parameters, one attribute changed).
//!
//! It must never be linked into a service: the drawings need a third-party library's script, which is evaluated here.
//! Nothing depends on this crate but its own program and the benchmark.

pub mod faces;
