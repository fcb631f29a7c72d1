//! What `cfx` does with a key, and with a coordinator that wants to be left alone for a moment: told by a server that notes what it
//! was sent.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

const EMPTY: &str = r#"{"items":[]}"#;

/// Gives the answers in turn, one a connection; its address, and the heads of the requests.
fn server(answers: Vec<(&'static str, &'static str)>) -> std::io::Result<(String, Receiver<String>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (told, heads) = channel();
    std::thread::spawn(move || -> std::io::Result<()> {
        for (head, body) in answers {
            let (mut client, _) = listener.accept()?;
            let lines = BufReader::new(client.try_clone()?).lines().map_while(Result::ok);
            let asked: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
            // whoever started it may have ended: then nobody listens any more
            let _ = told.send(asked.join("\n").to_lowercase());
            write!(client, "HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())?;
        }
        Ok(())
    });
    Ok((format!("http://{address}"), heads))
}

fn cfx(server: &str, environment: &[(&str, &str)]) -> std::io::Result<Output> {
    told(server, environment, &["job", "list"])
}

fn told(server: &str, environment: &[(&str, &str)], arguments: &[&str]) -> std::io::Result<Output> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfx"));
    for own in ["CFX_PROJECT", "CFX_PROFILE", "CFX_CONFIG", "CFX_API_KEY", "CFX_API_KEY_FILE"] {
        command.env_remove(own);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent").envs(environment.iter().copied());
    command.args(["--server", server]).args(arguments).output()
}

#[test]
fn the_key_and_the_project_are_sent_when_there_are_some() -> std::io::Result<()> {
    let ok = ("200 OK\r\ncontent-type: application/json", EMPTY);
    let (address, heads) = server(vec![ok, ok])?;
    assert!(cfx(&address, &[])?.status.success());
    let plain = heads.recv().unwrap_or_default();
    assert!(!plain.contains("authorization") && !plain.contains("cfx-project"), "{plain}");
    let output = cfx(&address, &[("CFX_API_KEY", "cfx_secret\n"), ("CFX_PROJECT", "lab")])?;
    let keyed = heads.recv().unwrap_or_default();
    assert!(keyed.contains("authorization: bearer cfx_secret\n") && keyed.contains("cfx-project: lab"), "{keyed}");
    assert!(output.stderr.is_empty(), "a loopback address is not in the clear");
    Ok(())
}

#[test]
fn told_to_wait_it_waits_and_refused_it_says_why() -> std::io::Result<()> {
    let wait = ("429 Too Many Requests\r\nretry-after: 1", "");
    // more often than a coordinator that does not answer would be tried
    let answers = vec![wait, wait, wait, wait, wait, ("200 OK\r\ncontent-type: application/json", EMPTY)];
    let (address, heads) = server(answers)?;
    let began = Instant::now();
    let output = cfx(&address, &[])?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(began.elapsed() >= Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(heads.try_iter().count(), 6);

    let problem =
        r#"{"type":"/problems/expired_key","title":"t","status":401,"detail":"it has expired","code":"expired_key"}"#;
    let (address, _heads) = server(vec![("401 Unauthorized\r\ncontent-type: application/problem+json", problem)])?;
    let output = cfx(&address, &[("CFX_API_KEY", "cfx_secret")])?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("it has expired [expired_key]"), "{said}");
    assert!(!said.contains("cfx_secret"), "{said}");
    Ok(())
}

#[test]
fn a_key_file_that_is_missing_or_empty_is_named_and_nothing_is_sent() -> std::io::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let path = file.path().to_string_lossy().into_owned();
    let empty = cfx("http://127.0.0.1:9", &[("CFX_API_KEY_FILE", &path)])?;
    let said = String::from_utf8_lossy(&empty.stderr).into_owned();
    assert!(empty.status.code() == Some(1) && said.contains(&path) && said.contains("cfx_<id>_<secret>"), "{said}");
    let missing = cfx("http://127.0.0.1:9", &[("CFX_API_KEY_FILE", "/nonexistent/key")])?;
    assert!(String::from_utf8_lossy(&missing.stderr).contains("/nonexistent/key"));
    Ok(())
}

#[test]
fn health_tells_a_probe_by_its_exit_code_and_a_person_by_its_words() -> std::io::Result<()> {
    let (address, heads) = server(vec![("200 OK\r\ncontent-type: text/plain", "ready\n")])?;
    let well = told(&address, &[], &["health"])?;
    assert_eq!((well.status.code(), well.stdout.as_slice()), (Some(0), b"ready\n".as_slice()));
    assert!(heads.recv().unwrap_or_default().starts_with("get /readyz "), "what probes of Kubernetes ask, too");

    let problem = r#"{"type":"about:blank","title":"x","status":503,"code":"unavailable","detail":"RabbitMQ is away"}"#;
    let ill = ("503 Service Unavailable\r\ncontent-type: application/problem+json", problem);
    let (address, _heads) = server(vec![ill; 4])?;
    let output = told(&address, &[], &["health"])?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "RabbitMQ is away\n");

    let nobody = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    assert_eq!(told(&format!("http://{nobody}"), &[], &["health"])?.status.code(), Some(5));
    Ok(())
}
