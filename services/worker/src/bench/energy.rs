//! What the machine takes while it computes, where it tells.
//!
//! A GPU since Volta counts its own energy (NVML, millijoules; not for a part of one, MIG). A processor counts that of each package with
//! its memory controllers (RAPL, as Linux shows it in `/sys/class/powercap`; readable by root alone since 2020, and seldom in a virtual
//! machine). Either counts for everybody: what else runs there is counted with it.

use crate::device_memory::Gauge;
use std::path::{Path, PathBuf};
use std::time::Instant;

const POWERCAP: &str = "/sys/class/powercap";

/// Something that counts energy.
pub enum Meter<'a> {
    /// A GPU.
    Gpu(&'a Gauge),
    /// A processor's packages.
    Packages(Vec<Package>),
}

/// One package of a processor.
pub struct Package {
    folder: PathBuf,
    /// Where its counter starts again from zero, microjoules.
    range: u64,
}

/// Two readings of one meter apart.
pub struct Span<'a> {
    meter: &'a Meter<'a>,
    /// Joules; of each package, or of the one GPU.
    first: Vec<f64>,
    began: Instant,
}

impl<'a> Meter<'a> {
    /// Of the device that computes: the GPU that is asked for its memory, or the processor. None where neither tells.
    pub fn of(gauge: Option<&'a Gauge>, on_gpu: bool) -> Option<Self> {
        let meter = match gauge {
            Some(gauge) => Self::Gpu(gauge),
            None if on_gpu => return None,
            None => Self::Packages(packages(Path::new(POWERCAP))),
        };
        (!meter.read()?.is_empty()).then_some(meter)
    }

    /// Begins to count.
    pub fn begin(&'a self) -> Option<Span<'a>> {
        Some(Span { meter: self, first: self.read()?, began: Instant::now() })
    }

    fn read(&self) -> Option<Vec<f64>> {
        match self {
            Self::Gpu(gauge) => Some(vec![gauge.joules()?]),
            Self::Packages(packages) => packages.iter().map(Package::joules).collect(),
        }
    }
}

impl Span<'_> {
    /// The mean power since it began, watts.
    pub fn watts(&self) -> Option<f64> {
        let seconds = self.began.elapsed().as_secs_f64();
        let now = self.meter.read()?;
        let range = |place: usize| match self.meter {
            Meter::Gpu(_) => 0.0,
            Meter::Packages(packages) => packages.get(place).map_or(0.0, |package| package.range as f64 / 1e6),
        };
        let passed = now.iter().zip(&self.first).enumerate().map(|(place, (now, first))| {
            // at most once round: a package takes minutes for that
            if now < first { now + range(place) - first } else { now - first }
        });
        Some(passed.sum::<f64>() / seconds)
    }
}

impl Package {
    fn joules(&self) -> Option<f64> {
        Some(number(&self.folder.join("energy_uj"))? as f64 / 1e6)
    }
}

/// The packages that may be read. Their parts, and the same counters by another way (`intel-rapl-mmio`), are in them.
fn packages(powercap: &Path) -> Vec<Package> {
    let entries = std::fs::read_dir(powercap).into_iter().flatten().flatten();
    let is_package = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let place = name.strip_prefix("intel-rapl:");
        place.is_some_and(|place| !place.is_empty() && place.bytes().all(|byte| byte.is_ascii_digit()))
            && std::fs::read_to_string(folder.join("name")).is_ok_and(|name| name.starts_with("package"))
    };
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(is_package).collect();
    folders.sort();
    let package = |folder: PathBuf| {
        let range = number(&folder.join("max_energy_range_uj"))?;
        let package = Package { folder, range };
        package.joules().map(|_| package)
    };
    folders.into_iter().filter_map(package).collect()
}

fn number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn put(folder: &Path, name: &str, energy: u64) {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("name"), name).unwrap();
        std::fs::write(folder.join("max_energy_range_uj"), "1000000000\n").unwrap();
        std::fs::write(folder.join("energy_uj"), format!("{energy}\n")).unwrap();
    }

    #[test]
    fn packages_are_added_up_without_their_parts_and_over_the_end_of_a_counter() {
        let powercap = tempfile::tempdir().unwrap();
        let at = |name: &str| powercap.path().join(name);
        put(&at("intel-rapl:0"), "package-0\n", 5_000_000);
        put(&at("intel-rapl:1"), "package-1\n", 999_000_000);
        put(&at("intel-rapl:0:0"), "core\n", 3_000_000);
        put(&at("intel-rapl:2"), "psys\n", 3_000_000);
        put(&at("intel-rapl-mmio:0"), "package-0\n", 5_000_000);
        let meter = Meter::Packages(packages(powercap.path()));
        assert_eq!(meter.read(), Some(vec![5.0, 999.0]));
        let span = meter.begin().unwrap();
        put(&at("intel-rapl:0"), "package-0\n", 7_000_000);
        put(&at("intel-rapl:1"), "package-1\n", 2_000_000);
        std::thread::sleep(Duration::from_millis(20));
        let least = span.began.elapsed().as_secs_f64();
        let watts = span.watts().unwrap();
        let most = span.began.elapsed().as_secs_f64();
        assert!((5.0 / most..=5.0 / least).contains(&watts), "5 J in {least} to {most} s are {watts} W");
    }

    #[test]
    fn where_nobody_tells_there_is_no_meter() {
        assert!(packages(Path::new("/nowhere")).is_empty());
        assert!(Meter::of(None, true).is_none());
    }
}
