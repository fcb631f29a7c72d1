//! The schema `dash`: documented to the last column, read by its role and by nobody through it, and the same figures that the tables
//! behind it have, at any size.

use crate::world::{World, boot, edit, heartbeat, invert};
use domain::edit::Method;
use domain::{Reason, Stage};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::Duration;
use store::{DeviceMemory, HeartbeatRow, LeaderEpoch, NewTask};

/// Two edits on eight sources, one inversion dead, the rest done.
async fn finished(world: &World) -> i64 {
    let methods = [Method::ClipNce(Default::default()), Method::ClipNce(Default::default())];
    let tasks: Vec<NewTask> =
        (0..8).map(invert).chain((0..8).flat_map(|o| [edit("told", 0, o), edit("told", 1, o)])).collect();
    let job = world.job_of(world.project, "told", &methods, &tasks).await;
    let (one, batch) = world.run(job, Stage::Invert, 1).await;
    let fence = crate::world::fences(&batch)[0];
    world.apply(one, &[crate::world::failed(fence, Reason::Truncated)]).await;
    world.complete(job, Stage::Invert).await;
    for edit_no in [0, 1] {
        let batch = world.claim_edit(job, Stage::Edit, Some(edit_no), 8).await.unwrap();
        world.finish(boot(), &batch).await;
    }
    job
}

async fn fold_all(world: &World) -> LeaderEpoch {
    let epoch = world.store.acquire("fold", "one", Duration::from_secs(60)).await.unwrap().unwrap();
    while world.store.fold_deltas("fold", epoch, 100).await.unwrap() > 0 {}
    while world.store.fold_verdicts("fold", epoch, 100).await.unwrap() > 0 {}
    while world.store.fold_metrics("fold", epoch, 3).await.unwrap() > 0 {}
    while world.store.fold_costs("fold", epoch, 100).await.unwrap() > 0 {}
    epoch
}

/// A connection that may do what a member of `cfx_reader` may.
async fn reader(world: &World) -> PgConnection {
    let mut connection = PgConnection::connect_with(&world.pool.connect_options()).await.unwrap();
    sqlx::raw_sql("SET SESSION AUTHORIZATION cfx_reader").execute(&mut connection).await.unwrap();
    connection
}

async fn views(world: &World) -> Vec<String> {
    let sql = "SELECT table_name::text FROM information_schema.views WHERE table_schema = 'dash' ORDER BY 1";
    sqlx::query_scalar(sql).fetch_all(&world.pool).await.unwrap()
}

#[tokio::test]
async fn every_view_and_column_is_told_and_the_names_hold() {
    let world = World::new().await;
    let names = views(&world).await;
    for name in [
        "job_progress",
        "throughput_1m",
        "queue_depth",
        "worker_status",
        "stage_latency",
        "failure_reasons",
        "job_cost",
        "metric_summary",
        "pair_export",
    ] {
        assert!(names.iter().any(|known| known == name), "{name} is one of the names that hold");
    }
    let untold = "SELECT c.relname || COALESCE('.' || a.attname, '')
        FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        LEFT JOIN LATERAL (SELECT 0 AS attnum, NULL AS attname UNION ALL
                           SELECT attnum, attname FROM pg_attribute WHERE attrelid = c.oid AND attnum > 0) AS a ON true
        WHERE n.nspname = 'dash' AND c.relkind = 'v'
            AND COALESCE(CASE WHEN a.attnum = 0 THEN obj_description(c.oid) ELSE col_description(c.oid, a.attnum) END, '') = ''";
    let untold: Vec<String> = sqlx::query_scalar(untold).fetch_all(&world.pool).await.unwrap();
    assert_eq!(untold, Vec::<String>::new(), "these have no comment");
}

#[tokio::test]
async fn a_worker_tells_the_memory_of_its_gpu_and_one_on_a_cpu_none() {
    let world = World::new().await;
    let gpu = DeviceMemory { used_bytes: 3 << 30, total_bytes: 80 << 30 };
    for memory in [Some(gpu), None] {
        let said = HeartbeatRow { device_memory: memory, ..heartbeat(boot(), vec![]) };
        // what is not told any more is not there any more
        for said in [&said, &HeartbeatRow { device_memory: None, ..said.clone() }, &said] {
            world.store.heartbeat(said).await.unwrap();
            let row = world.store.workers().await.unwrap().into_iter().find(|row| row.heartbeat.boot == said.boot);
            assert_eq!(row.map(|row| row.heartbeat).as_ref(), Some(said));
        }
    }
    let told: Vec<(Option<i64>, Option<i64>)> = sqlx::query_as(
        "SELECT device_memory_used_bytes, device_memory_total_bytes FROM dash.worker_status ORDER BY 1 NULLS LAST",
    )
    .fetch_all(&world.pool)
    .await
    .unwrap();
    assert_eq!(told, [(Some(gpu.used_bytes), Some(gpu.total_bytes)), (None, None)]);
}

#[tokio::test]
async fn the_reader_reads_the_views_and_nothing_else() {
    let world = World::new().await;
    let mut reader = reader(&world).await;
    for view in views(&world).await {
        let sql = format!("SELECT count(*) FROM dash.{view}");
        let read: Result<i64, _> = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut reader).await;
        assert!(read.is_ok(), "{view}: {read:?}");
    }
    for sql in [
        "SELECT 1 FROM jobs",
        "SELECT 1 FROM signing_keys",
        "DELETE FROM dash.operator_actions",
        "INSERT INTO dash.operator_actions (actor) VALUES ('x')",
        "CREATE TABLE dash.mine (x int)",
    ] {
        let refused = sqlx::raw_sql(sql).execute(&mut reader).await.unwrap_err();
        let code = refused.as_database_error().and_then(|e| e.code().map(|c| c.into_owned()));
        assert_eq!(code.as_deref(), Some("42501"), "{sql}: {refused}");
    }
}

#[tokio::test]
async fn views_say_what_the_tables_have_before_and_after_folding() {
    let world = World::new().await;
    let job = finished(&world).await;
    let id: String = sqlx::query_scalar("SELECT dash.job_id(id) FROM jobs").fetch_one(&world.pool).await.unwrap();
    let known = world.store.job_by_seq(job).await.unwrap().unwrap();
    assert_eq!(id, known.id.to_string(), "an id as everybody writes it");
    let figures = async || {
        let sql = "SELECT row_to_json(f) FROM (
            SELECT 'progress' AS of, stage AS part, total, succeeded, dead, NULL::float8 AS value FROM dash.job_progress
            UNION ALL SELECT 'failure', stage || ' ' || reason, dead, 0, 0, NULL FROM dash.failure_reasons
            UNION ALL SELECT 'cost', name, outputs, accepted, 0, gpu_seconds FROM dash.job_cost
            UNION ALL SELECT 'yield', edit, outputs, accepted, rejected, accepted_share FROM dash.edit_yield
            UNION ALL SELECT 'reject', edit || ' ' || reason, outputs, 0, 0, NULL FROM dash.reject_reasons
            UNION ALL SELECT 'metric', edit || ' ' || metric, n, 0, 0, round((mean + stddev + least + most)::numeric, 6)::float8 FROM dash.metric_summary
            UNION ALL SELECT 'pair', task, 0, 0, 0, strength FROM dash.pair_export
            ORDER BY 1, 2) AS f";
        sqlx::query_scalar::<_, Value>(sql).fetch_all(&world.pool).await.unwrap()
    };
    let before = figures().await;
    fold_all(&world).await;
    assert_eq!(figures().await, before, "folding changes nothing that is seen");

    let of = |what: &str| before.iter().filter(|f| f["of"] == what).collect::<Vec<_>>();
    let results = world.number("SELECT count(*) FROM results").await;
    assert_eq!(results, 14, "seven sources of two edits");
    assert_eq!(of("pair").len(), 14);
    assert_eq!(of("failure").len(), 2, "the inversion, and the edits that needed it: {before:#?}");
    let invert = of("progress").into_iter().find(|f| f["part"] == "invert").unwrap();
    assert_eq!((&invert["total"], &invert["succeeded"], &invert["dead"]), (&8.into(), &7.into(), &1.into()));
    // scores, against the results themselves
    let actual = "SELECT row_to_json(f) FROM (
        SELECT e.slug || ' ' || m.key AS part, count(*) AS total,
               round((avg(m.value::float8) + stddev_pop(m.value::float8) + min(m.value::float8) + max(m.value::float8))::numeric, 6)::float8 AS value
        FROM results r JOIN job_edits e USING (job_seq, edit_no) CROSS JOIN jsonb_each(r.metrics) AS m GROUP BY 1 ORDER BY 1) AS f";
    let actual: Vec<Value> = sqlx::query_scalar(actual).fetch_all(&world.pool).await.unwrap();
    assert!(!actual.is_empty(), "results of these tests have scores");
    let told: Vec<_> =
        of("metric").iter().map(|f| (f["part"].clone(), f["total"].clone(), f["value"].clone())).collect();
    let actual: Vec<_> = actual.iter().map(|f| (f["part"].clone(), f["total"].clone(), f["value"].clone())).collect();
    assert_eq!(told, actual);
    // what happened by the minute is what happened
    let events = "SELECT sum(succeeded) * 1000 + sum(dead) FROM job_minutes";
    let states =
        "SELECT count(*) FILTER (WHERE state = 'succeeded') * 1000 + count(*) FILTER (WHERE state = 'dead') FROM tasks";
    assert_eq!(world.number(&format!("SELECT ({events})::bigint")).await, world.number(states).await);
    let timed = world.number("SELECT sum(tasks)::bigint FROM dash.stage_latency").await;
    assert_eq!(timed, 7 + 14, "what succeeded was timed");
    let wrong =
        world.number("SELECT count(*) FROM dash.stage_latency WHERE NOT (p50_ms <= p95_ms AND p50_ms > 0)").await;
    assert_eq!(wrong, 0);
}

#[tokio::test]
async fn images_are_told_minute_by_minute() {
    let world = World::new().await;
    let job = world.submit(world.project, "minutes", &[Method::ClipNce(Default::default())]).await;
    let told = async |over, minutes: u64| {
        let found = world.store.throughput(job, over, Duration::from_secs(60 * minutes)).await.unwrap();
        found.iter().map(|m| (m.inverted, m.edited)).collect::<Vec<_>>()
    };
    assert_eq!(told(false, 360).await, []);
    // not within the last seconds of a minute, which would be over before it is asked about
    let late = "SELECT extract(second FROM now())::bigint";
    while world.number(late).await > 50 {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    world
        .sql(format!(
            "INSERT INTO job_minutes (minute, job_seq, stage, succeeded)
             SELECT date_trunc('minute', now()) - make_interval(mins => ago), {job}, stage::task_stage, n
             FROM (VALUES (5, 'invert', 7), (5, 'edit', 1), (3, 'edit', 4), (2, 'train', 1), (0, 'edit', 9)) AS v(ago, stage, n)"
        ))
        .await;
    // minutes without images count, the one that is not over does not
    assert_eq!(told(false, 360).await, [(7, 1), (0, 0), (0, 4), (0, 0), (0, 0)]);
    assert_eq!(told(true, 360).await, [(7, 1), (0, 0), (0, 4), (0, 0), (0, 0), (0, 9)]);
    assert_eq!(told(false, 3).await, [(0, 4), (0, 0), (0, 0)]);
}

#[tokio::test]
async fn quantiles_are_right_to_an_eighth() {
    let world = World::new().await;
    // 1 to 1,000 ms, each once
    world
        .sql("INSERT INTO stage_hours SELECT date_trunc('hour', now()), 'cpu', 'edit', floor(20 * log(ms)), count(*), sum(ms)
              FROM generate_series(1, 1000) AS ms GROUP BY 4")
        .await;
    let row = sqlx::query("SELECT tasks, mean_ms, p50_ms::float8, p95_ms::float8 FROM dash.stage_latency");
    let row = row.fetch_one(&world.pool).await.unwrap();
    assert_eq!((row.get::<i64, _>(0), row.get::<f64, _>(1)), (1000, 500.5));
    for (place, exact) in [(2, 500.0), (3, 950.0)] {
        let told: f64 = row.get(place);
        assert!((told / exact - 1.0).abs() < 0.125, "{told} for {exact}");
    }
}

#[tokio::test]
async fn what_waits_is_told_with_its_work() {
    let world = World::new().await;
    finished(&world).await;
    fold_all(&world).await;
    assert_eq!(world.store.queue_depth().await.unwrap(), [], "nothing waits");
    let methods = [Method::ClipNce(Default::default())];
    let tasks: Vec<NewTask> = (0..8).map(invert).chain((0..8).map(|o| edit("waits", 0, o))).collect();
    world.job_of(world.project, "waits", &methods, &tasks).await;
    let depth = world.store.queue_depth().await.unwrap();
    let edits = depth.iter().find(|d| d.stage == "edit").unwrap();
    assert_eq!((edits.project.as_str(), edits.ready + edits.blocked), ("lab", 8));
    let per_task = edits.backlog_gpu_seconds.unwrap() / 8.0;
    assert!(per_task > 0.0, "what such edits cost is known");

    // nobody is missing for a job that is paused
    world.sql("UPDATE jobs SET state = 'paused' WHERE state = 'active'").await;
    let paused = world.store.queue_depth().await.unwrap();
    assert_eq!(paused.len(), depth.len());
    for (was, is) in depth.iter().zip(&paused) {
        assert_eq!((is.ready, is.blocked, is.retrying, is.running), (0, 0, 0, 0), "{paused:?}");
        assert_eq!((is.paused, is.backlog_gpu_seconds), (was.ready + was.blocked, Some(0.0)), "{paused:?}");
    }
}

#[tokio::test]
async fn figures_are_kept_for_a_while() {
    let world = World::new().await;
    world
        .sql("INSERT INTO job_minutes (minute, job_seq, stage) SELECT now() - make_interval(days => d), 1, 'edit' FROM generate_series(0, 9) AS d;
              INSERT INTO stage_hours SELECT now() - make_interval(days => d), 'cpu', 'edit', 1, 1, 1 FROM generate_series(0, 9) AS d")
        .await;
    let days = |n: u64| Duration::from_secs(n * 86_400 - 3_600);
    assert_eq!(world.store.old_figures(days(7), days(9), 2).await.unwrap(), 3, "two of the minutes, and the one hour");
    assert_eq!(world.store.old_figures(days(7), days(9), 100).await.unwrap(), 1);
    assert_eq!(world.store.old_figures(days(7), days(9), 100).await.unwrap(), 0);
}

/// The cookbook's questions: file name and SQL.
fn questions() -> BTreeMap<String, String> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/sql");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|ending| ending == "sql"));
    files
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read_to_string(path).unwrap()))
        .collect()
}

/// Tables that a plan reads from end to end.
fn read_over(plan: &Value, found: &mut BTreeSet<String>) {
    if plan["Node Type"].as_str().is_some_and(|kind| kind.ends_with("Seq Scan")) {
        found.extend(plan["Relation Name"].as_str().map(str::to_owned));
    }
    for inner in plan["Plans"].as_array().into_iter().flatten() {
        read_over(inner, found);
    }
}

#[tokio::test]
async fn the_cookbook_answers_on_a_large_database_without_reading_it_over() {
    let world = World::new().await;
    let job = finished(&world).await;
    world.store.heartbeat(&heartbeat(boot(), vec![])).await.unwrap();
    fold_all(&world).await;
    // the same job nine times more, and of each as many results and tasks; `CFX_DASH_ROWS` says how many
    let rows = std::env::var("CFX_DASH_ROWS").unwrap_or_else(|_| "10000".to_owned());
    let fill = "INSERT INTO jobs (id, project, idempotency_key, spec_digest, spec, dataset, pack_name, pack_digest, pack_manifest, state,
                                priority, created_at, finished_at)
              SELECT gen_random_uuid(), project, 'copy ' || g, spec_digest, spec, dataset, pack_name, pack_digest, pack_manifest, state,
                     priority, created_at, finished_at
              FROM jobs CROSS JOIN generate_series(1, 9) AS g;
              INSERT INTO job_edits (job_seq, edit_no, slug, method, spec, digest, gate)
              SELECT j.seq, e.edit_no, e.slug, e.method, e.spec, e.digest, e.gate
              FROM jobs j CROSS JOIN job_edits e WHERE NOT EXISTS (SELECT FROM job_edits k WHERE k.job_seq = j.seq);
              INSERT INTO tasks (job_seq, no, stage, state, edit_no, ordinal, strength, seed, key, needs)
              SELECT j.seq, 1000 + g, 'edit', 'succeeded', 0, g % 8, 1, g, sha256(g::text::bytea), sha256('latent'::bytea)
              FROM jobs j CROSS JOIN generate_series(1, ROWS) AS g;
              INSERT INTO results (job_seq, no, edit_no, ordinal, strength, seed, key, image, reconstruction, record, metrics, verdict,
                                   rejected_for, gpu_ms, epoch, boot)
              SELECT j.seq, 1000 + g, r.edit_no, g % 8, 1, g, r.key, r.image, r.reconstruction, r.record, r.metrics, r.verdict,
                     r.rejected_for, r.gpu_ms, r.epoch, r.boot
              FROM jobs j CROSS JOIN generate_series(1, ROWS) AS g CROSS JOIN (SELECT * FROM results WHERE verdict = 'accept' LIMIT 1) AS r;
              ANALYZE";
    world.sql(fill.replace("ROWS", &rows)).await;
    fold_all(&world).await;
    let known = world.store.job_by_seq(job).await.unwrap().unwrap();
    let mut reader = reader(&world).await;
    let questions = questions();
    assert!(questions.len() >= 10);
    for (name, sql) in questions {
        let sql = sql.replace(":'job'", &format!("'{}'", known.id)).replace(":'project'", "'lab'");
        assert!(sql.starts_with("-- ") && sql.contains("?\n"), "{name} begins with its question");
        let began = std::time::Instant::now();
        let rows = sqlx::query(AssertSqlSafe(sql.clone())).fetch_all(&mut reader).await;
        let rows = rows.unwrap_or_else(|error| panic!("{name}: {error}"));
        eprintln!("{name}: {} rows in {:.1} ms", rows.len(), began.elapsed().as_secs_f64() * 1e3);
        // what happens while work goes on, or people act, has no rows here
        let quiet = ["01", "09", "10", "12"].iter().any(|number| name.starts_with(number));
        assert!(quiet || !rows.is_empty(), "{name} has no answer");
        let explain = AssertSqlSafe(format!(
            "EXPLAIN (FORMAT JSON) {}",
            sql.lines().filter(|l| !l.starts_with("--")).collect::<Vec<_>>().join("\n")
        ));
        let plan: Value = sqlx::query_scalar(explain).fetch_one(&mut reader).await.unwrap();
        let mut found = BTreeSet::new();
        read_over(&plan[0]["Plan"], &mut found);
        let large = |table: &&String| *table == "results" || *table == "records" || table.starts_with("tasks");
        assert_eq!(
            found.iter().filter(large).collect::<Vec<_>>(),
            Vec::<&String>::new(),
            "{name} reads over\n{plan:#}"
        );
    }
}

/// The SQL of the boards' panels and variables, by board and title.
fn board_queries() -> Vec<(String, String)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../deploy/grafana/boards");
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let board: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        for panel in board["panels"].as_array().unwrap() {
            let title = format!("{name}: {}", panel["title"].as_str().unwrap());
            for target in panel["targets"].as_array().unwrap() {
                found.extend(target["rawSql"].as_str().map(|sql| (title.clone(), sql.to_owned())));
            }
        }
        for variable in board["templating"]["list"].as_array().unwrap() {
            let title = format!("{name}: ${}", variable["name"].as_str().unwrap());
            found.push((title, variable["query"].as_str().unwrap().to_owned()));
        }
    }
    found
}

#[tokio::test]
async fn the_boards_ask_what_the_reader_may_read() {
    let world = World::new().await;
    let job = finished(&world).await;
    fold_all(&world).await;
    let known = world.store.job_by_seq(job).await.unwrap().unwrap();
    let mut reader = reader(&world).await;
    let queries = board_queries();
    assert!(queries.len() > 8);
    for (title, sql) in queries {
        // what Grafana puts in before it asks
        let sql = sql.replace("$job", &known.id.to_string()).replace("$project", "lab");
        let sql = sql.replace("$__timeFilter(minute)", "minute > now() - interval '1 day'");
        let sql = sql.replace("$__timeFilter(hour)", "hour > now() - interval '1 day'");
        assert!(!sql.contains('$'), "{title}: {sql}");
        let rows = sqlx::query(AssertSqlSafe(sql)).fetch_all(&mut reader).await;
        let rows = rows.unwrap_or_else(|error| panic!("{title}: {error}"));
        let quiet = ["Each worker", "Attempts that", "What the project spent"].iter().any(|part| title.contains(part));
        assert!(quiet || !rows.is_empty(), "{title} has nothing to show");
    }
}
