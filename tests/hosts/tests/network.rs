//! Hosts behind the switch: whom they reach, and what a cut does. Skipped where this account may make no network devices.

use anyhow::{Context as _, Result};
use hosts::fleet::WIRES;
use hosts::host::{Host, Network};
use hosts::switch::Wires;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};
use testkit::Child;

/// Answers every connection with one byte.
const SERVER: &str = "import socket, sys
s = socket.create_server((sys.argv[1], 7000))
while True:
    c, _ = s.accept()
    c.sendall(b'x')
    c.close()";
/// Says whether that host answers, from another one.
const CLIENT: &str = "import socket, sys
socket.create_connection((sys.argv[1], 7000), timeout=3).recv(1)";

fn reaches(from: &Host, to: &Host) -> bool {
    let mut command = from.command("python3");
    command.args(["-c", CLIENT, &to.address.to_string()]);
    command.output().is_ok_and(|output| output.status.success())
}

/// Seconds that this machine, which is a host too, takes to connect.
fn connecting(to: &Host) -> Result<f64> {
    let began = Instant::now();
    TcpStream::connect_timeout(&SocketAddr::from((to.address, 7000)), Duration::from_secs(3))?;
    Ok(began.elapsed().as_secs_f64())
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_reach_each_other_unless_the_wire_is_cut_and_as_late_as_it_is_long() -> Result<()> {
    if !faults::database::is_root() || !std::path::Path::new("/dev/net/tun").exists() || !hosts::host::has_iproute() {
        eprintln!("skipped: this takes root, /dev/net/tun and iproute2");
        return Ok(());
    }
    let names = ["a", "b", "c"].map(str::to_owned);
    let network = Network::build(&names, WIRES)?;
    let [a, b, c] = ["a", "b", "c"].map(|name| network.host(name).cloned());
    let (a, b, c) = (a?, b?, c?);
    let mut servers = Vec::new();
    for host in [&a, &b, &c] {
        let mut command = host.command("python3");
        command.args(["-c", SERVER, &host.address.to_string()]);
        servers.push(Child::spawn_command(&host.name, command)?);
    }
    for host in [&a, &b, &c] {
        testkit::wait_until("a host answers", Duration::from_secs(30), || std::future::ready(connecting(host).ok()))
            .await;
    }
    assert!(reaches(&a, &b) && reaches(&b, &c));

    network.switch.cut(&[a.port], &[b.port]);
    assert!(!reaches(&a, &b) && !reaches(&b, &a), "cut both ways");
    assert!(reaches(&a, &c) && reaches(&c, &b), "others are as they were");
    network.switch.mend();
    assert!(reaches(&a, &b));
    network.isolate("c")?;
    assert!(!reaches(&a, &c) && connecting(&c).is_err() && connecting(&a).is_ok());
    network.switch.mend();

    network.switch.set(Wires { delay: Duration::from_millis(60), jitter: Duration::ZERO, loss: 0.0 });
    let late = connecting(&b).context("a slow wire is a wire")?;
    assert!((0.12..2.0).contains(&late), "there and back are 120 ms, not {late} s");
    let (forwarded, lost) = network.switch.frames();
    assert!(forwarded > 20 && lost > 0, "{forwarded} forwarded, {lost} lost");
    Ok(())
}
