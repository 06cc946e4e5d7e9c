//! Metrics in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;

/// What samples of one name are.
pub(crate) struct Family {
    name: &'static str,
    kind: &'static str,
    help: &'static str,
}

impl Family {
    /// What only grows.
    pub(crate) const fn counter(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: "counter", help }
    }

    /// What goes up and down.
    pub(crate) const fn gauge(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: "gauge", help }
    }

    /// How many there were of each size.
    pub(crate) const fn histogram(name: &'static str, help: &'static str) -> Family {
        Family { name, kind: "histogram", help }
    }
}

/// Samples, those of one name together.
#[derive(Default)]
pub(crate) struct Exposition {
    families: BTreeMap<&'static str, (&'static Family, String)>,
}

impl Exposition {
    fn samples(&mut self, family: &'static Family) -> &mut String {
        &mut self.families.entry(family.name).or_insert((family, String::new())).1
    }

    pub(crate) fn sample(&mut self, family: &'static Family, labels: &str, value: u64) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.samples(family), "{}{{{labels}}} {value}", family.name);
    }

    /// Of a histogram: how many there are up to each bound, then what all are together, and how many. No bound is too
    /// high for the last.
    pub(crate) fn histogram(
        &mut self,
        family: &'static Family,
        labels: &str,
        up_to: impl Iterator<Item = (f64, u64)>,
        (sum, count): (f64, u64),
    ) {
        let name = family.name;
        let samples = self.samples(family);
        for (le, below) in up_to {
            let _ = writeln!(samples, "{name}_bucket{{{labels},le=\"{le}\"}} {below}");
        }
        let _ = writeln!(samples, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(samples, "{name}_sum{{{labels}}} {sum}\n{name}_count{{{labels}}} {count}");
    }

    pub(crate) fn text(self) -> String {
        let family = |(name, (family, samples)): (&str, (&Family, String))| {
            format!("# HELP {name} {}\n# TYPE {name} {}\n{samples}", family.help, family.kind)
        };
        self.families.into_iter().map(family).collect()
    }
}
