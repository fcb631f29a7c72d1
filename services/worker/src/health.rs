//! `worker health`: asks the worker of this machine how it is, for probes of containers, whose images have no other program that could.

use anyhow::{Context as _, Result};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Longest that one answer may take; a probe is asked again soon.
const PATIENCE: Duration = Duration::from_secs(4);

/// Which worker, and what is asked.
#[derive(clap::Args)]
pub struct HealthArgs {
    /// Where it answers probes, as it was told itself.
    #[arg(long, env = "CFX_METRICS_LISTEN")]
    metrics_listen: SocketAddr,
    /// Ask whether it takes work, and not only whether it is well.
    #[arg(long)]
    ready: bool,
}

/// Prints what it says; exit code 1 if that is not good.
///
/// # Errors
/// When nobody answers there.
#[expect(clippy::print_stdout, reason = "a verb of the command line: its result goes to standard output")]
pub fn run(args: &HealthArgs) -> Result<u8> {
    let address = near(args.metrics_listen);
    let path = if args.ready { "/readyz" } else { "/healthz" };
    let (good, said) = ask(address, path).with_context(|| format!("no worker answers probes on {address}"))?;
    println!("{said}");
    Ok(u8::from(!good))
}

/// Whoever listens on every address of the machine listens on its loopback too.
fn near(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// Whether the answer is 200, and its text. HTTP/1.0: the answer ends with the connection.
fn ask(address: SocketAddr, path: &str) -> Result<(bool, String)> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    // in one write: who answers after the first piece and hangs up would reset the connection on the others
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.take(1 << 16).read_to_string(&mut answer)?;
    let (head, said) = answer.split_once("\r\n\r\n").context("it does not speak HTTP")?;
    Ok((head.split(' ').nth(1) == Some("200"), said.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};
    use std::net::TcpListener;

    fn answering(answer: &'static str) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            assert!(BufReader::new(&stream).lines().any(|line| line.unwrap().is_empty()), "a whole request");
            stream.write_all(answer.as_bytes()).unwrap();
        });
        address
    }

    #[test]
    fn only_200_is_well() {
        let well = ask(answering("HTTP/1.0 200 OK\r\n\r\nalive\n"), "/healthz").unwrap();
        assert_eq!(well, (true, "alive".to_owned()));
        let ill =
            ask(answering("HTTP/1.0 503 Service Unavailable\r\nx: 200\r\n\r\nno heartbeat\n"), "/healthz").unwrap();
        assert_eq!(ill, (false, "no heartbeat".to_owned()));
        assert!(ask(answering("SSH-2.0\n"), "/healthz").is_err());
    }

    #[test]
    fn a_worker_that_listens_everywhere_is_asked_on_loopback() {
        for (listen, asked) in [("0.0.0.0:9464", "127.0.0.1:9464"), ("[::]:1", "[::1]:1"), ("10.1.2.3:4", "10.1.2.3:4")]
        {
            assert_eq!(near(listen.parse().unwrap()), asked.parse().unwrap());
        }
    }
}
