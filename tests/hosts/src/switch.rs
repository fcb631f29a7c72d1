//! A network switch in user space: every host has a TAP device, and this forwards frames between them, late, never, or not at all.
//!
//! The kernel's own emulator (netem) is a module that not every machine has, and says nothing of pairs of hosts. Here each pair of
//! hosts is a wire of its own that can be cut in both directions, as a rack's uplink or a firewall rule does.

use anyhow::{Context as _, Result};
use bytes::Bytes;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tun_rs::{AsyncDevice, DeviceBuilder, Layer};

/// Bytes of a frame's payload: as in a data centre, and so that less of two cores goes into copying frames.
pub const MTU: u16 = 9000;
/// Bytes before it.
const HEADER: usize = 14;
/// Frames that wait for one host; more are dropped, as a real switch does.
const QUEUE: usize = 4096;

/// How the wires are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Wires {
    /// Time from one host to another, one way.
    pub delay: Duration,
    /// Up to this much more.
    pub jitter: Duration,
    /// Part of the frames that never arrive, 0 to 1.
    pub loss: f64,
}

/// What the switch does to frames, and what it has done.
#[derive(Debug)]
struct State {
    wires: RwLock<Wires>,
    cut: RwLock<BTreeSet<(usize, usize)>>,
    forwarded: AtomicU64,
    lost: AtomicU64,
}

/// The switch. Its thread ends with the process.
#[derive(Clone, Debug)]
pub struct Switch {
    state: Arc<State>,
}

/// A frame and when it is due.
type Due = (Instant, Bytes);

impl Switch {
    /// Makes a TAP device for each of `names` and forwards between them; device `n` has the hardware address [`hardware`]`(n)`, which
    /// whoever brings it up sets.
    ///
    /// # Errors
    /// When this process may not make network devices: that takes root.
    pub fn start(names: Vec<String>, wires: Wires) -> Result<Self> {
        let state = Arc::new(State {
            wires: RwLock::new(wires),
            cut: RwLock::default(),
            forwarded: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        });
        let switch = Self { state: Arc::clone(&state) };
        let (said, heard) = std::sync::mpsc::channel();
        // a thread of its own: whatever the harness does meanwhile, frames go on
        std::thread::Builder::new().name("switch".to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let Ok(runtime) = runtime else { return };
            runtime.block_on(async move {
                let devices: Result<Vec<_>> = names.iter().map(|name| open(name)).collect();
                match devices {
                    Ok(devices) => {
                        let _ = said.send(Ok(()));
                        forward(devices, state).await;
                    }
                    Err(error) => drop(said.send(Err(error))),
                }
            });
        })?;
        heard.recv().context("the switch ended at once")??;
        Ok(switch)
    }

    /// Sets all wires.
    pub fn set(&self, wires: Wires) {
        *self.state.wires.write().unwrap_or_else(PoisonError::into_inner) = wires;
    }

    /// Cuts the wires between every host of `some` and every host of `others`.
    pub fn cut(&self, some: &[usize], others: &[usize]) {
        let mut cut = self.state.cut.write().unwrap_or_else(PoisonError::into_inner);
        for (&one, &other) in some.iter().flat_map(|one| others.iter().map(move |other| (one, other))) {
            cut.insert((one.min(other), one.max(other)));
        }
    }

    /// Mends all wires.
    pub fn mend(&self) {
        self.state.cut.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Frames that were forwarded, and frames that were lost or cut off.
    pub fn frames(&self) -> (u64, u64) {
        (self.state.forwarded.load(Ordering::Relaxed), self.state.lost.load(Ordering::Relaxed))
    }
}

/// The hardware address of port `port`, locally administered.
pub fn hardware(port: usize) -> String {
    format!("02:00:00:00:{:02x}:{:02x}", port / 256, port % 256)
}

fn open(name: &str) -> Result<Arc<AsyncDevice>> {
    let device = DeviceBuilder::new().name(name).layer(Layer::L2).mtu(MTU).build_async();
    device.map(Arc::new).with_context(|| format!("the network device {name} cannot be made"))
}

async fn forward(devices: Vec<Arc<AsyncDevice>>, state: Arc<State>) {
    let mut out = Vec::new();
    for device in &devices {
        let (sender, receiver) = channel(QUEUE);
        out.push(sender);
        tokio::spawn(deliver(Arc::clone(device), receiver));
    }
    let mut readers = Vec::new();
    for (port, device) in devices.into_iter().enumerate() {
        readers.push(tokio::spawn(read(port, device, out.clone(), Arc::clone(&state))));
    }
    for reader in readers {
        let _ = reader.await;
    }
}

/// Takes frames from one host.
async fn read(port: usize, device: Arc<AsyncDevice>, out: Vec<Sender<Due>>, state: Arc<State>) {
    let mut rng = StdRng::seed_from_u64(port as u64);
    let mut buffer = vec![0; usize::from(MTU) + HEADER + 4];
    loop {
        let Ok(length) = device.recv(&mut buffer).await else {
            // the device is down until its host is ready
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let frame = Bytes::copy_from_slice(&buffer[..length]);
        for to in recipients(&frame, port, out.len()) {
            let wires = *state.wires.read().unwrap_or_else(PoisonError::into_inner);
            let cut = state.cut.read().unwrap_or_else(PoisonError::into_inner).contains(&(port.min(to), port.max(to)));
            let late = wires.jitter.mul_f64(rng.random());
            let due = Instant::now() + wires.delay + late;
            let lost = cut || rng.random_bool(wires.loss) || out[to].try_send((due, frame.clone())).is_err();
            let count = if lost { &state.lost } else { &state.forwarded };
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Whom a frame is for: the host whose hardware address it names, or all others.
fn recipients(frame: &[u8], from: usize, ports: usize) -> Vec<usize> {
    let others = (0..ports).filter(|&port| port != from);
    match frame.get(..6) {
        None => Vec::new(),
        // the lowest bit of the first byte: for several
        Some(to) if to[0] & 1 == 1 => others.collect(),
        Some(to) => {
            let named = usize::from(to[4]) * 256 + usize::from(to[5]);
            others.filter(|&port| port == named).collect()
        }
    }
}

/// Brings frames to one host, in the order in which they were sent, none before it is due.
async fn deliver(device: Arc<AsyncDevice>, mut frames: Receiver<Due>) {
    while let Some((due, frame)) = frames.recv().await {
        tokio::time::sleep_until(due.into()).await;
        // a host whose device is down hears nothing
        let _ = device.send(&frame).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_goes_to_the_host_it_names_or_to_all_others() {
        let to = |address: [u8; 6]| recipients(&[address.as_slice(), &[0; 8]].concat(), 1, 4);
        assert_eq!(to([0xff; 6]), [0, 2, 3]);
        assert_eq!(to([0x33, 0x33, 0, 0, 0, 1]), [0, 2, 3]);
        assert_eq!(to([2, 0, 0, 0, 0, 3]), [3]);
        assert!(to([2, 0, 0, 0, 0, 1]).is_empty(), "never back");
        assert!(to([2, 0, 0, 0, 9, 9]).is_empty(), "nobody has it");
        assert!(recipients(&[2, 0], 1, 4).is_empty());
        assert_eq!(hardware(258), "02:00:00:00:01:02");
    }
}
