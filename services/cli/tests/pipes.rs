//! `cfx` at the end of a pipe that nobody reads, run against a coordinator that has no job.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};

/// Answers one request with an empty page; gives its address.
fn empty_coordinator() -> std::io::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || -> std::io::Result<()> {
        let (mut client, _) = listener.accept()?;
        let mut asked = Vec::new();
        while !asked.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            client.read_exact(&mut byte)?;
            asked.push(byte[0]);
        }
        let body = r#"{"items":[]}"#;
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close";
        write!(client, "{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len())
    });
    Ok(format!("http://{address}"))
}

fn job_list(server: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cfx"));
    command.args(["--server", server, "job", "list"]);
    command
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly() -> std::io::Result<()> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let ended = job_list(&empty_coordinator()?).stdout(writer).stderr(Stdio::piped()).output()?;
    assert_eq!(ended.status.code(), Some(141), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    Ok(())
}

#[test]
fn remarks_that_nobody_reads_do_not_end_it() -> std::io::Result<()> {
    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let ended = job_list(&empty_coordinator()?).stderr(writer).output()?;
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert!(String::from_utf8_lossy(&ended.stdout).starts_with("JOB"), "{ended:?}");
    Ok(())
}
