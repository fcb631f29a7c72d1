//! The coordinator in the test's own process, on real Postgres, RabbitMQ and S3. One program, so that it is linked once.

mod access;
mod bad_input;
mod buttons;
mod contract;
mod counterfactuals;
mod dashboard;
mod hostile;
mod http;
mod life_of_a_job;
mod lineage;
mod oidc;
mod pods;
mod pressure;
mod repeats;
mod sessions;
mod support;
mod tls;
mod worker;
