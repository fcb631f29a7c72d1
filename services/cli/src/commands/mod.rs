//! One command a file. Each takes a client and its arguments, prints, and returns the exit code.

mod audit;
mod audit_log;
mod config_show;
mod dataset_add;
mod dataset_list;
mod dataset_show;
mod doctor;
mod health;
mod inspect;
mod job_control;
mod job_export;
mod job_list;
mod job_seal;
mod job_status;
mod job_submit;
mod job_watch;
mod key;
mod keys;
mod login;
mod manual;
mod mapper;
mod pack;
mod pack_import;
mod project;
mod result_fetch;
mod result_list;
mod verify;
mod whoami;

use crate::args::{
    Args, Command, ConfigCommand, DatasetCommand, JobCommand, KeysCommand, MapperCommand, PackCommand, ProjectCommand,
    ResultCommand,
};
use crate::client::Client;
use crate::profile::{self, Connection, Given};
use anyhow::Result;

/// What every command gets.
pub struct Context {
    /// The coordinator.
    pub client: Client,
    /// Which coordinator, project and key, and where they come from.
    pub connection: Connection,
    /// Print JSON.
    pub json: bool,
}

/// Runs the command that was asked for.
pub async fn run(args: Args) -> Result<u8> {
    let actor = args.actor.or_else(|| std::env::var("USER").ok());
    match args.command {
        // these ask nobody, and must work whatever the configuration says
        Command::Completions { shell } => return manual::completions(shell),
        Command::Man { dir } => return manual::pages(&dir),
        _ => {}
    }
    let given = Given {
        config: args.config,
        profile: args.profile,
        server: args.server,
        project: args.project,
        // from the environment only: arguments show in every list of processes
        key: std::env::var("CFX_API_KEY").ok().filter(|key| !key.is_empty()),
        key_file: std::env::var_os("CFX_API_KEY_FILE").filter(|path| !path.is_empty()).map(Into::into),
    };
    // a login makes the profile that it names
    let connection = match args.command {
        Command::Login => profile::to_log_in(given)?,
        _ => profile::resolve(given)?,
    };
    let key = connection.key.as_ref().map(|(key, _)| key);
    let client = Client::new(&connection.server, connection.project.as_deref(), actor.as_deref(), key)?;
    let at = Context { client, connection, json: args.json };
    match args.command {
        Command::Dataset(DatasetCommand::Add { name, sources, masks, skip_bad }) => {
            dataset_add::run(&at, &name, &sources, &masks, skip_bad).await
        }
        Command::Dataset(DatasetCommand::List) => dataset_list::run(&at).await,
        Command::Dataset(DatasetCommand::Show { name, limit }) => dataset_show::run(&at, &name, limit).await,
        Command::Pack(PackCommand::Add { folder }) => pack::add(&at, &folder).await,
        Command::Pack(PackCommand::Import(args)) => pack_import::run(&at, &args),
        Command::Pack(PackCommand::List { parts }) => pack::list(&at, parts).await,
        Command::Pack(PackCommand::Verify { folder, write }) => pack::verify(&at, &folder, write),
        Command::Mapper(MapperCommand::Import { checkpoint, pack, out, any_generator }) => {
            mapper::import(&at, &packs::import::MapperRequest { checkpoint, any_generator }, &pack, &out)
        }
        Command::Mapper(MapperCommand::Add { file }) => mapper::add(&at, &file).await,
        Command::Job(JobCommand::Submit(args)) => job_submit::run(&at, &args).await,
        Command::Job(JobCommand::Seal { job, to }) => job_seal::run(&at, &job, to.as_deref()).await,
        Command::Job(JobCommand::Export(args)) => job_export::run(&at, &args).await,
        Command::Job(JobCommand::List { state, limit }) => job_list::run(&at, state.as_deref(), limit).await,
        Command::Job(JobCommand::Status { job }) => job_status::run(&at, &job).await,
        Command::Job(JobCommand::Watch { job }) => job_watch::run(&at, &job).await,
        Command::Job(JobCommand::Pause { job, tasks }) if tasks.is_empty() => {
            job_control::transition(&at, &job, "pause").await
        }
        Command::Job(JobCommand::Pause { job, tasks }) => job_control::pause_tasks(&at, &job, &tasks).await,
        Command::Job(JobCommand::Resume { job, tasks }) if tasks.is_empty() => {
            job_control::transition(&at, &job, "resume").await
        }
        Command::Job(JobCommand::Resume { job, tasks }) => job_control::resume_tasks(&at, &job, &tasks).await,
        Command::Job(JobCommand::Cancel { job, tasks }) if tasks.is_empty() => {
            job_control::transition(&at, &job, "cancel").await
        }
        Command::Job(JobCommand::Cancel { job, tasks }) => job_control::cancel_tasks(&at, &job, &tasks).await,
        Command::Job(JobCommand::Set { job, limits, no_deadline, priority }) => {
            job_control::set(&at, &job, &limits, no_deadline, priority).await
        }
        Command::Job(JobCommand::Retry { job, reason, dry_run }) => {
            job_control::retry(&at, &job, reason.as_deref(), dry_run).await
        }
        Command::Job(JobCommand::Tasks { job, state }) => job_status::tasks(&at, &job, state.as_deref()).await,
        Command::Result(ResultCommand::List { job, edit, verdict, reason, limit }) => {
            let wanted = result_list::Wanted { edit, verdict, reason };
            result_list::run(&at, &job, &wanted, limit).await
        }
        Command::Result(ResultCommand::Fetch { job, to, edit, accepted, reconstructions, latents }) => {
            let verdict = accepted.then(|| "accepted".to_owned());
            let wanted = result_list::Wanted { edit, verdict, reason: None };
            let beside = result_fetch::Beside { reconstructions, latents };
            result_fetch::run(&at, &job, &to, &wanted, beside).await
        }
        Command::Project(ProjectCommand::List) => project::list(&at).await,
        Command::Project(ProjectCommand::Set(args)) => project::set(&at, &args).await,
        Command::Audit(args) => audit::run(&at, &args).await,
        Command::AuditLog { limit } => audit_log::run(&at, limit).await,
        Command::Keys(KeysCommand::List) => keys::list(&at).await,
        Command::Keys(KeysCommand::Export { to }) => keys::export(&at, &to).await,
        Command::Inspect { file } => inspect::run(&file),
        Command::Verify(args) => verify::run(&at, &args).await,
        Command::Key(command) => key::run(&at, command).await,
        Command::Whoami => whoami::run(&at).await,
        Command::Login => login::run(&at).await,
        Command::Config(ConfigCommand::Show) => config_show::run(&at),
        Command::Completions { .. } | Command::Man { .. } => unreachable!("they were answered above"),
        Command::Doctor => doctor::run(&at).await,
        Command::Health => health::run(&at).await,
    }
}
