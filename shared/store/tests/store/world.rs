//! A database with a project, a dataset, a pack and jobs on them, and short names for what tests do to them.

use domain::accept::{Acceptance, RejectReason};
use domain::edit::{CfMapper, EditSpec, Method, Selection};
use domain::inversion::Inversion;
use domain::job::JobSpec;
use domain::job_state::JobState;
use domain::record::{
    Execution, Links, MicroBatch, Outcome, RECORD_SCHEMA, Recipe, Record, SourceFacts, TextFacts, Verdict,
    WrittenRecord,
};
use domain::{
    BatchId, BootId, Digest, JobId, Limits, ProjectId, Reason, RetryPolicy, Stage, StageKey, TaskId, digest_of,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool};
use std::collections::BTreeMap;
use store::{
    Applied, ClaimRequest, ClaimedBatch, ClaimedTasks, EditedRow, Fence, HeartbeatRow, NewEdit, NewJob, NewTask,
    OutboxMessage, OutcomeRow, PackFacts, PackRow, RunningTask, Score, SliceOutcome, SourceRow, Store, StoreConfig,
    Submitted, Training,
};
use testkit::TestDatabase;
use uuid::Uuid;

pub struct World {
    pub store: Store,
    pub pool: PgPool,
    pub project: ProjectId,
    pub policy: RetryPolicy,
    // last, so that the database outlives the connections to it
    database: TestDatabase,
}

pub fn boot() -> BootId {
    BootId::from_uuid(Uuid::new_v4())
}

pub fn key(text: &str) -> StageKey {
    StageKey(Digest::of(text))
}

pub fn invert(ordinal: i64) -> NewTask {
    NewTask::Invert { ordinal, key: key(&format!("latent {ordinal}")) }
}

pub fn train(edit_no: i16) -> NewTask {
    NewTask::Train { edit_no, key: key("mapper 0") }
}

/// The edit of a source in job `name`.
pub fn edit(name: &str, edit_no: i16, ordinal: i64) -> NewTask {
    NewTask::Edit {
        edit_no,
        ordinal,
        strength: 1.0,
        seed: u64::MAX,
        key: key(&format!("{name} {edit_no} {ordinal}")),
        needs: key(&format!("latent {ordinal}")),
    }
}

pub fn message(batch: &ClaimedBatch) -> OutboxMessage {
    OutboxMessage {
        routing_key: "edit.cpu".to_owned(),
        payload: json!({ "batch": batch.batch, "n": batch.len() }),
        traceparent: None,
    }
}

pub fn fences(batch: &ClaimedBatch) -> Vec<Fence> {
    match &batch.tasks {
        ClaimedTasks::Invert(tasks) => tasks.iter().map(|t| t.fence).collect(),
        ClaimedTasks::Train { task, .. } => vec![task.fence],
        ClaimedTasks::Edit { tasks, .. } => tasks.iter().map(|t| t.fence).collect(),
    }
}

impl World {
    /// Eight sources, a pack, the project `lab`.
    pub async fn new() -> Self {
        let database = TestDatabase::create().await.unwrap();
        let store = Store::connect(&StoreConfig { url: database.url().to_owned(), max_connections: 10 }).await.unwrap();
        let pool = database.pool().await.unwrap();
        let project = store.ensure_project("lab").await.unwrap();
        let world = Self { store, pool, project, policy: RetryPolicy::default(), database };
        world.dataset(project, 8).await;
        let pack = PackRow {
            name: "faces".to_owned(),
            digest: Digest::of("pack"),
            manifest_digest: Digest::of("manifest"),
            manifest: "[pack]".to_owned(),
            resolution: 64,
        };
        world.store.add_pack(&pack).await.unwrap();
        world
    }

    /// Other connections to the same database, which have what was set for it since.
    pub async fn again(&self) -> Store {
        let config = StoreConfig { url: self.database.url().to_owned(), max_connections: 2 };
        Store::connect(&config).await.unwrap()
    }

    pub async fn dataset(&self, project: ProjectId, n: i64) {
        let dataset = self.store.create_dataset(project, "set", None).await.unwrap().unwrap();
        let sources: Vec<SourceRow> = (0..n).map(source).collect();
        self.store.add_sources(dataset.id, &sources).await.unwrap();
    }

    /// A job called `name` with one edit per method given, and no tasks yet.
    pub async fn submit(&self, project: ProjectId, name: &str, methods: &[Method]) -> i64 {
        match self.store.submit(&self.new_job(project, name, methods).await).await.unwrap() {
            Submitted::Created(job) => job.seq,
            other => panic!("not created: {other:?}"),
        }
    }

    pub async fn new_job(&self, project: ProjectId, name: &str, methods: &[Method]) -> NewJob {
        let dataset = self.store.dataset(project, "set").await.unwrap().unwrap();
        let edits: Vec<EditSpec> = methods.iter().enumerate().map(|(i, m)| edit_spec(i, m.clone())).collect();
        let spec = JobSpec {
            name: name.to_owned(),
            dataset: "set".to_owned(),
            pack: "faces".to_owned(),
            edits: edits.clone(),
            strengths: vec![1.0],
            seeds: vec![0],
            frame: domain::Frame::default(),
            inversion: Inversion::default(),
            priority: 0,
            limits: Limits::default(),
            precision: Default::default(),
            output: Default::default(),
        };
        let new_edit = |spec: EditSpec| NewEdit {
            slug: spec.slug(),
            digest: digest_of(&spec).unwrap(),
            mapper: spec.method.given_mapper(),
            training: spec
                .method
                .training()
                .map(|_| Training { mapper_key: key("mapper 0"), training_set: Digest::of("training set") }),
            spec,
        };
        NewJob {
            project,
            idempotency_key: name.to_owned(),
            traceparent: None,
            submitted_by: None,
            spec_digest: digest_of(&spec).unwrap(),
            spec,
            dataset: dataset.id,
            pack: PackFacts { name: "faces".into(), digest: Digest::of("pack"), manifest: Digest::of("manifest") },
            edits: edits.into_iter().map(new_edit).collect(),
        }
    }

    /// A job with these tasks, written in one slice, active. A `clip-nce` edit 0.
    pub async fn job(&self, name: &str, tasks: &[NewTask]) -> i64 {
        self.job_of(self.project, name, &[Method::ClipNce(Default::default())], tasks).await
    }

    /// The same with a `cf-mapper` edit 0.
    pub async fn mapper_job(&self, name: &str, tasks: &[NewTask]) -> i64 {
        self.job_of(self.project, name, &[Method::CfMapper(CfMapper::default())], tasks).await
    }

    pub async fn job_of(&self, project: ProjectId, name: &str, methods: &[Method], tasks: &[NewTask]) -> i64 {
        let job = self.submit(project, name, methods).await;
        self.write(job, &Value::Null, &json!("end"), tasks, true).await;
        job
    }

    pub async fn write(&self, job: i64, from: &Value, to: &Value, tasks: &[NewTask], finished: bool) -> SliceOutcome {
        self.store.write_slice(job, from, to, tasks, finished).await.unwrap()
    }

    pub async fn claim(&self, job: i64, stage: Stage, limit: i64) -> Option<ClaimedBatch> {
        self.claim_edit(job, stage, if stage == Stage::Invert { None } else { Some(0) }, limit).await
    }

    pub async fn claim_edit(
        &self,
        job_seq: i64,
        stage: Stage,
        edit_no: Option<i16>,
        limit: i64,
    ) -> Option<ClaimedBatch> {
        let class = "cpu".to_owned();
        let request = ClaimRequest { job_seq, stage, edit_no, limit, class, estimate_ms: 100.0, limited: true };
        self.store.claim_batch(&request, message).await.unwrap()
    }

    /// Claims and starts on a new worker.
    pub async fn run(&self, job: i64, stage: Stage, limit: i64) -> (BootId, ClaimedBatch) {
        let batch = self.claim(job, stage, limit).await.expect("something to claim");
        let boot = boot();
        assert_eq!(self.store.started(boot, &fences(&batch)).await.unwrap(), []);
        (boot, batch)
    }

    pub async fn apply(&self, boot: BootId, rows: &[OutcomeRow]) -> Applied {
        self.store.apply_outcomes(boot, rows, &self.policy).await.unwrap()
    }

    /// Finishes every task of the batch as it should end.
    pub async fn finish(&self, boot: BootId, batch: &ClaimedBatch) -> Applied {
        self.apply(boot, &successes(batch)).await
    }

    /// Claims, starts and finishes all that is ready in the stage.
    pub async fn complete(&self, job: i64, stage: Stage) -> u64 {
        let mut n = 0;
        while let Some(batch) = self.claim(job, stage, 64).await {
            let boot = boot();
            self.store.started(boot, &fences(&batch)).await.unwrap();
            n += self.finish(boot, &batch).await.changed.len() as u64;
        }
        n
    }

    pub async fn state(&self, job: i64, no: i32) -> &'static str {
        self.store.task(TaskId { job, no }).await.unwrap().unwrap().task.state.name()
    }

    pub async fn states(&self, job: i64) -> BTreeMap<&'static str, usize> {
        let mut states = BTreeMap::new();
        for task in self.store.tasks(job, None, None, 100_000).await.unwrap() {
            *states.entry(task.task.state.name()).or_insert(0) += 1;
        }
        states
    }

    pub async fn job_state(&self, job: i64) -> JobState {
        self.store.job_by_seq(job).await.unwrap().unwrap().state
    }

    /// Counts must agree with the tasks, and verdicts with the results, at any time.
    pub async fn check_counts(&self, job: i64) {
        assert_eq!(self.store.check_rollups(job).await.unwrap(), []);
        assert_eq!(self.store.check_verdicts(job).await.unwrap(), []);
    }

    pub async fn sql(&self, statement: impl Into<String>) {
        let statement = statement.into();
        sqlx::raw_sql(AssertSqlSafe(statement.clone())).execute(&self.pool).await.expect(&statement);
    }

    pub async fn number(&self, query: &str) -> i64 {
        sqlx::query_scalar(AssertSqlSafe(query.to_owned())).fetch_one(&self.pool).await.expect(query)
    }
}

/// What a live worker of class `cpu` says that holds these tasks.
pub fn heartbeat(boot: BootId, running: Vec<RunningTask>) -> HeartbeatRow {
    HeartbeatRow {
        boot,
        name: "host/1".into(),
        class: "cpu".into(),
        device: "cpu".into(),
        version: "0".into(),
        draining: false,
        running,
        images: 3,
        busy_ms: 10,
        waits_for: None,
        control_queue: None,
        memory_bytes: None,
        device_memory: None,
    }
}

pub fn source(ordinal: i64) -> SourceRow {
    SourceRow {
        sha256: Digest::of(format!("source {ordinal}")),
        uri: format!("faces/{ordinal:03}.png"),
        bytes: 1000 + ordinal,
        labels: BTreeMap::from([("hair".to_owned(), "brown".to_owned())]),
        masks: BTreeMap::new(),
        landmarks: None,
    }
}

fn edit_spec(index: usize, method: Method) -> EditSpec {
    EditSpec {
        name: Some(format!("edit {index}")),
        text: "a face with green hair".to_owned(),
        neutral: "a face".to_owned(),
        method,
        strength_search: None,
        accept: Acceptance::default(),
        only: Selection::default(),
    }
}

/// The outcomes of a batch in which all went well, at 50 ms a task.
pub fn successes(batch: &ClaimedBatch) -> Vec<OutcomeRow> {
    let stored = |fence: Fence, key: StageKey| OutcomeRow::Stored {
        fence,
        key,
        artifact: Digest::of(format!("artifact of {key}")),
        gpu_ms: 50.0,
    };
    match &batch.tasks {
        ClaimedTasks::Invert(tasks) => tasks.iter().map(|t| stored(t.fence, t.key)).collect(),
        ClaimedTasks::Train { task, .. } => vec![stored(task.fence, task.key)],
        ClaimedTasks::Edit { tasks, .. } => tasks.iter().map(|t| edited(t.fence, t.key)).collect(),
    }
}

pub fn failed(fence: Fence, reason: Reason) -> OutcomeRow {
    OutcomeRow::Failed { fence, reason, detail: "as the test wants".to_owned(), gpu_ms: 10.0 }
}

pub fn edited(fence: Fence, key: StageKey) -> OutcomeRow {
    let record = WrittenRecord::new(record(fence, key)).unwrap();
    OutcomeRow::Edited(Box::new(EditedRow {
        fence,
        key,
        image: Digest::of(format!("image {key} {}", fence.epoch)),
        reconstruction: Digest::of(format!("reconstruction {key}")),
        record_digest: record.digest(),
        record,
        gpu_ms: 50.0,
    }))
}

/// As many scores as a full pack gives, always the same for a key.
fn scores_of(key: StageKey) -> BTreeMap<String, f64> {
    let digits =
        key.0.as_bytes().chunks(4).map(|four| four.iter().fold(0.0, |sum, byte| (sum + f64::from(*byte)) / 256.0));
    Score::ALL.iter().map(|score| score.name().to_owned()).zip(digits).collect()
}

/// Some of every kind, always the same for a key.
fn verdict_of(key: StageKey) -> (Option<Verdict>, Vec<RejectReason>) {
    match key.0.as_bytes()[0] % 4 {
        0 => (None, vec![]),
        1 => (Some(Verdict::Reject), vec![RejectReason::TargetMissed]),
        2 => (Some(Verdict::Reject), vec![RejectReason::TargetMissed, RejectReason::OutsideChanged]),
        _ => (Some(Verdict::Accept), vec![]),
    }
}

fn record(fence: Fence, key: StageKey) -> Record {
    let digest = key.0;
    let at = "2026-11-23T20:00:00Z".parse().unwrap();
    let (verdict, rejected_for) = verdict_of(key);
    Record {
        schema: RECORD_SCHEMA.to_owned(),
        recipe_digest: digest,
        recipe: Recipe {
            numerics: 1,
            source: SourceFacts {
                sha256: digest,
                raster_sha256: digest,
                uri: None,
                size: [64, 64],
                format: "png".to_owned(),
                conversions: vec![],
                face: None,
            },
            pack: digest,
            models: BTreeMap::new(),
            tensors: BTreeMap::new(),
            text: TextFacts { target: "t".into(), neutral: "n".into(), templates: 1, expanded: digest, tokens: None },
            inversion: Inversion::default(),
            edit: edit_spec(0, Method::ClipNce(Default::default())),
            strength: 1.0,
            seed: domain::job::MAX_SEED,
            rng: "chacha8".to_owned(),
            noise: "fixed".to_owned(),
            precision: "fp32".to_owned(),
            determinism: None,
            source_latent: digest,
            mapper: None,
            mask: None,
        },
        execution: Execution {
            version: "0".into(),
            commit: String::new(),
            libtorch: "0".into(),
            device: "cpu".into(),
            threads: 1,
            boot: BootId::from_uuid(Uuid::nil()),
            batch: BatchId::from_uuid(Uuid::nil()),
            epoch: fence.epoch,
            micro_batch: MicroBatch { size: 1, slot: 0 },
            edit_batch: None,
            inversion_batch: None,
            started_at: at,
            finished_at: at,
            milliseconds: BTreeMap::new(),
            build: BTreeMap::new(),
            environment: BTreeMap::new(),
            peak_memory: None,
        },
        outcome: Outcome {
            raster_sha256: digest,
            unsigned_sha256: digest,
            format: Some("png".into()),
            key: None,
            digital_source_type: Some(domain::record::TRAINED_ALGORITHMIC_MEDIA.into()),
            watermark: Some(domain::record::NO_WATERMARK.into()),
            rendered_sha256: None,
            detail: None,
            size: [64, 64],
            latent: digest,
            reconstruction: digest,
            loss: vec![],
            steps: 1,
            metrics: scores_of(key),
            judged: BTreeMap::new(),
            verdict,
            rejected_for,
            warnings: vec![],
        },
        links: Links {
            job: JobId::from_uuid(Uuid::nil()),
            task: fence.task,
            project: "lab".into(),
            dataset: "set".into(),
            source: 0,
            source_uri: Some("faces/000.png".to_owned()),
            parents: Vec::new(),
            pack: None,
            license: None,
            submitter: None,
        },
    }
}
