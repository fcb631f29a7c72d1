//! Hosts: network namespaces with an address each, all on one switch. The machine itself is one of them, as the user's own.

use crate::switch::{MTU, Switch, Wires, hardware};
use anyhow::{Context as _, Result};
use std::net::Ipv4Addr;
use std::process::Command;

/// What names of namespaces begin with, so that those of a run that was killed are found and removed.
const PREFIX: &str = "cfxh-";

/// One host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Host {
    /// For people.
    pub name: String,
    /// Its place on the switch.
    pub port: usize,
    /// Its address.
    pub address: Ipv4Addr,
}

impl Host {
    fn at(name: &str, port: usize) -> Self {
        // at most 99 of them
        let last = u8::try_from(port + 1).unwrap_or(u8::MAX);
        Self { name: name.to_owned(), port, address: Ipv4Addr::new(10, 77, 0, last) }
    }

    fn namespace(&self) -> String {
        format!("{PREFIX}{}", self.name)
    }

    /// A command that runs on it.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace()]).arg(program);
        command
    }
}

/// The hosts and the switch between them. Dropping it removes the namespaces; processes in them end first.
#[derive(Debug)]
pub struct Network {
    /// The switch.
    pub switch: Switch,
    hosts: Vec<Host>,
}

impl Network {
    /// Builds it. The first host is this machine, under the name `user`.
    ///
    /// # Errors
    /// Without root, or without the programs of iproute2.
    pub fn build(names: &[String], wires: Wires) -> Result<Self> {
        remove_all()?;
        let hosts: Vec<Host> = std::iter::once("user")
            .chain(names.iter().map(String::as_str))
            .enumerate()
            .map(|(port, name)| Host::at(name, port))
            .collect();
        let devices = hosts.iter().map(|host| format!("cfxh{}", host.port)).collect();
        let switch = Switch::start(devices, wires)?;
        let network = Self { switch, hosts };
        for host in &network.hosts {
            network.bring_up(host).with_context(|| format!("the host {} cannot be made", host.name))?;
        }
        Ok(network)
    }

    fn bring_up(&self, host: &Host) -> Result<()> {
        let device = format!("cfxh{}", host.port);
        let (address, mtu) = (format!("{}/24", host.address), MTU.to_string());
        let ip = |arguments: &[&str]| {
            let mut command = if host.port == 0 { Command::new("ip") } else { host.command("ip") };
            quiet(command.args(arguments))
        };
        if host.port > 0 {
            let space = host.namespace();
            quiet(Command::new("ip").args(["netns", "add", &space]))?;
            quiet(Command::new("ip").args(["link", "set", &device, "netns", &space]))?;
            ip(&["link", "set", "lo", "up"])?;
        }
        ip(&["link", "set", &device, "address", &hardware(host.port), "mtu", &mtu])?;
        ip(&["address", "add", &address, "dev", &device])?;
        ip(&["link", "set", &device, "up"])
    }

    /// A host by its name.
    ///
    /// # Errors
    /// When there is none.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.hosts.iter().find(|host| host.name == name).with_context(|| format!("there is no host {name}"))
    }

    /// Cuts a host off from all others.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn isolate(&self, name: &str) -> Result<()> {
        let one = self.host(name)?.port;
        let others: Vec<usize> = self.hosts.iter().map(|host| host.port).filter(|&port| port != one).collect();
        self.switch.cut(&[one], &others);
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        let _ = remove_all();
    }
}

/// Whether the programs for namespaces are there.
pub fn has_iproute() -> bool {
    Command::new("ip").arg("-Version").output().is_ok_and(|output| output.status.success())
}

/// Ends what runs in namespaces of ours, and removes them.
fn remove_all() -> Result<()> {
    let listed =
        Command::new("ip").args(["netns", "list"]).output().context("iproute2 is missing; run: make install")?;
    let text = String::from_utf8_lossy(&listed.stdout).into_owned();
    for space in text.lines().filter_map(|line| line.split(' ').next()).filter(|name| name.starts_with(PREFIX)) {
        let pids = Command::new("ip").args(["netns", "pids", space]).output()?;
        for pid in String::from_utf8_lossy(&pids.stdout).split_whitespace() {
            let _ = Command::new("kill").args(["-KILL", pid]).output();
        }
        quiet(Command::new("ip").args(["netns", "delete", space]))?;
    }
    Ok(())
}

/// Runs a program.
///
/// # Errors
/// With what it wrote.
pub fn quiet(command: &mut Command) -> Result<()> {
    faults::database::quiet(command).map(drop)
}

/// The same, with what it printed.
///
/// # Errors
/// As [`quiet`].
pub fn said(command: &mut Command) -> Result<String> {
    Ok(String::from_utf8_lossy(&faults::database::quiet(command)?.stdout).into_owned())
}
