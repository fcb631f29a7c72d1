//! The HTTP interface encrypted by the coordinator itself.

use crate::life_of_a_job::Serving;
use crate::support::Bench;
use anyhow::Result;
use coordinator::config::Tls;
use rcgen::generate_simple_self_signed;
use reqwest::{Certificate, Client};
use std::time::{Duration, Instant};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_makes_it_https_and_nothing_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let files = Tls { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
    let made = generate_simple_self_signed(["localhost".to_owned()])?;
    std::fs::write(&files.certificate, made.cert.pem())?;
    std::fs::write(&files.key, made.signing_key.serialize_pem())?;
    let mut bench = Bench::new().await?;
    bench.set(|config| config.tls = Some(files))?;
    let serving = Serving::start(&bench.app).await?;
    let port = serving.address.port();
    let page = format!("https://localhost:{port}/v1/jobs");

    let trusting =
        Client::builder().add_root_certificate(Certificate::from_pem(made.cert.pem().as_bytes())?).build()?;
    let answer = trusting.get(&page).send().await?;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.version(), reqwest::Version::HTTP_11);
    assert!(Client::new().get(&page).send().await.is_err(), "who does not know the issuer does not go on");
    let clear = trusting.get(format!("http://localhost:{port}/v1/jobs")).send().await;
    assert!(clear.is_err(), "nothing is answered in the clear: {clear:?}");

    // one that never speaks holds nobody up, neither others nor the end
    let mut silent = TcpStream::connect(serving.address).await?;
    assert_eq!(trusting.get(&page).send().await?.status(), 200);
    let ending = Instant::now();
    serving.end().await?;
    assert!(ending.elapsed() < Duration::from_secs(5), "{:?}", ending.elapsed());
    assert_eq!(silent.read(&mut [0; 8]).await.unwrap_or(0), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_another_certificate_stops_the_start_with_both_names() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let files = Tls { certificate: folder.path().join("tls.crt"), key: folder.path().join("other.key") };
    let [made, other] = [(); 2].map(|()| generate_simple_self_signed(["localhost".to_owned()]));
    std::fs::write(&files.certificate, made?.cert.pem())?;
    std::fs::write(&files.key, other?.signing_key.serialize_pem())?;
    let mut bench = Bench::new().await?;
    bench.set(|config| config.tls = Some(files))?;
    let said = Serving::refusal(&bench.app).await?;
    assert!(said.contains("other.key is not the key of") && said.contains("tls.crt"), "{said}");
    Ok(())
}
