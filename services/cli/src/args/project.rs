//! `cfx project`.

use clap::{Args, Subcommand};

#[derive(Subcommand, Debug)]
pub enum ProjectCommand {
    /// List projects with their shares, limits and GPU time of the last 24 hours.
    List,
    /// Change a project's share or limits; 0 takes a limit away.
    Set(ProjectSetArgs),
}

#[derive(Args, Debug)]
pub struct ProjectSetArgs {
    /// The project; made if new.
    pub name: String,
    /// Share of the GPUs relative to other projects that wait for some.
    #[arg(long)]
    pub weight: Option<f64>,
    /// GPU-seconds that may be charged within 24 hours.
    #[arg(long)]
    pub quota_gpu_seconds_per_day: Option<f64>,
    /// Batches of all its jobs with workers at once.
    #[arg(long)]
    pub max_concurrent: Option<u32>,
    /// Tasks of all its jobs handed out per minute.
    #[arg(long)]
    pub tasks_per_minute: Option<f64>,
}
