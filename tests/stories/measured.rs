//! Measurements that need a whole installation: they print figures and prove little, so they run on demand.
//! `OMP_NUM_THREADS=1 cargo test --workspace --test stories -- --ignored --nocapture measured`; the figures kept are in
//! `tests/bench/PROVENANCE.md`.

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use broker::{BrokerConfig, ControlListener, Message, Publisher};
use credentials::Certificates;
use domain::job_state::JobState;
use std::time::{Duration, Instant};
use stories::{Cluster, faces};
use testkit::Child;
use uuid::Uuid;
use wire::broker::v1::{Claim, Control, SignAnswer, SignRequest};
use wire::http::v1::{EditResult, Page};

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64() * 1e3
}

/// Most memory that a process has had, MiB.
fn peak(process: &Child) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? >> 10)
}

/// A worker, as far as signatures go.
struct Asker {
    publisher: Publisher,
    ear: ControlListener,
    reply_to: String,
}

impl Asker {
    async fn ask(&self, claim: Option<Claim>) -> Result<Uuid> {
        let request = SignRequest { id: Uuid::now_v7(), reply_to: self.reply_to.clone(), claim };
        self.publisher.publish(Message::sign_request(serde_json::to_vec(&request)?)).await?;
        Ok(request.id)
    }

    async fn answer(&mut self) -> SignAnswer {
        loop {
            if let Control::Signed { answer, .. } = self.ear.next().await {
                return answer;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures"]
async fn measured_what_a_signature_by_a_coordinator_costs() -> Result<()> {
    let cluster = Cluster::start(0).await?;
    let config = BrokerConfig::new(cluster.broker_url(), "asker");
    let mut ear = ControlListener::new(config.clone());
    ear.ready().await;
    let reply_to = ear.queue().borrow().clone().context("a queue")?;
    let mut asker = Asker { publisher: Publisher::start(config), ear, reply_to };
    asker.ask(None).await?;
    let SignAnswer::Certificates { pem } = asker.answer().await else { anyhow::bail!("no certificates came") };
    let certificates = Certificates::read(&pem)?;
    // what a claim's signature is over has about this length
    let message = vec![7; 1_200];
    let claim = Claim { key_id: certificates.key_id(), message: STANDARD.encode(&message) };
    let mut alone = Vec::new();
    for _ in 0..300 {
        let began = Instant::now();
        asker.ask(Some(claim.clone())).await?;
        let SignAnswer::Signature { signature } = asker.answer().await else { anyhow::bail!("no signature came") };
        alone.push(began.elapsed());
        assert!(certificates.verifies(&message, &STANDARD.decode(signature)?));
    }
    let (rounds, together) = (100, 16);
    let began = Instant::now();
    for _ in 0..rounds {
        let request =
            || SignRequest { id: Uuid::now_v7(), reply_to: asker.reply_to.clone(), claim: Some(claim.clone()) };
        let requests: Vec<_> = (0..together).map(|_| serde_json::to_vec(&request())).collect::<Result<_, _>>()?;
        let told = asker.publisher.publish_many(requests.into_iter().map(Message::sign_request).collect()).await;
        told.into_iter().collect::<Result<Vec<_>, _>>()?;
        for _ in 0..together {
            asker.answer().await;
        }
    }
    let rate = f64::from(rounds * together) / began.elapsed().as_secs_f64();
    eprintln!("a signature by a coordinator: {:.2} ms (median of {})", median(alone.clone()), alone.len());
    eprintln!("{together} at once: {rate:.0} a second");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures"]
async fn measured_what_companions_cost_a_coordinator() -> Result<()> {
    let cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(64)?).await?.expect_code(0);
    let id = cluster.submit(&crate::per_image("faces", 1)).await?;
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    let page = cluster.get(&format!("/v1/jobs/{id}/results?limit=500")).await?;
    let page: Page<EditResult> = serde_json::from_str(&page)?;
    for kind in ["reconstruction", "latent", "source-latent"] {
        let mut rounds = Vec::new();
        for _ in ["first", "again"] {
            let mut times = Vec::new();
            for result in &page.items {
                let began = Instant::now();
                cluster.get(&format!("/v1/results/{}/companions/{kind}", result.task)).await?;
                times.push(began.elapsed());
            }
            rounds.push(median(times));
        }
        eprintln!("{kind}: {:.1} ms the first time, {:.1} ms again ({} each)", rounds[0], rounds[1], page.items.len());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes and gigabytes of disk; prints figures"]
async fn measured_an_export_of_a_hundred_thousand_pairs() -> Result<()> {
    let pairs = 100_000;
    let cluster = Cluster::start(1).await?;
    cluster.dataset("faces", &faces(16)?).await?.expect_code(0);
    let id = cluster.submit(&crate::per_image("faces", 1)).await?;
    assert_eq!(cluster.ended(id).await.state, JobState::Succeeded);
    // The same results again and again, each under a number of its own: rows, pages and requests are as many as they would be.
    let pool = cluster.database.pool().await?;
    let copies = "INSERT INTO results
        SELECT job_seq, 1000000 + row_number() OVER ()::integer, edit_no, ordinal, strength, seed, key, image, reconstruction, record,
               metrics, verdict, gpu_ms, epoch, boot, created_at, rejected_for
        FROM results CROSS JOIN generate_series(1, $1 / 16)";
    sqlx::query(copies).bind(pairs - 16).execute(&pool).await?;
    sqlx::query("ANALYZE results").execute(&pool).await?;
    for format in ["webdataset", "parquet", "imagefolder"] {
        let to = cluster.folder().join(format).to_string_lossy().into_owned();
        let began = Instant::now();
        let told = cluster.cfx(["job", "export", &id.to_string(), "--format", format, "--to", &to, "--json"]).await?;
        let told: serde_json::Value = told.expect_code(0).json()?;
        let seconds = began.elapsed().as_secs_f64();
        eprintln!(
            "{format}: {} pairs in {seconds:.0} s, {:.0} a second; the coordinator has had {} MiB",
            told["pairs"],
            told["pairs"].as_f64().unwrap_or_default() / seconds,
            peak(&cluster.coordinators[0])?
        );
        std::fs::remove_dir_all(&to)?;
    }
    Ok(())
}
