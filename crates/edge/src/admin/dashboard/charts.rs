//! Small charts as SVG, without a style or script of their own, so that the pages' policy need allow none.

use std::fmt::Write;

const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 40.0;

/// A line over a wash; the largest value reaches the top. `title` is for who cannot see it, and has no markup in it.
pub(super) fn spark(values: &[f64], title: &str) -> String {
    let most = values.iter().copied().fold(0.0, f64::max).max(f64::MIN_POSITIVE);
    let step = WIDTH / values.len().saturating_sub(1).max(1) as f64;
    let mut line = String::new();
    for (at, value) in values.iter().enumerate() {
        let (x, y) = (at as f64 * step, HEIGHT - 1.0 - value / most * (HEIGHT - 3.0));
        // Writing to a string cannot fail.
        let _ = write!(line, "{}{x:.1} {y:.1}", if at == 0 { "M" } else { "L" });
    }
    format!(
        "<svg class=\"spark\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" preserveAspectRatio=\"none\" role=\"img\" \
         aria-label=\"{title}\"><path class=\"area\" d=\"{line}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z\"/>\
         <path class=\"line\" d=\"{line}\"/></svg>"
    )
}

/// Microseconds, for people.
pub(super) fn duration(micros: f64) -> String {
    match micros {
        0.0 => "–".into(),
        _ if micros < 1_000.0 => format!("{micros:.0} µs"),
        _ if micros < 100_000.0 => format!("{:.1} ms", micros / 1e3),
        _ if micros < 1e6 => format!("{:.0} ms", micros / 1e3),
        _ => format!("{:.1} s", micros / 1e6),
    }
}

/// Bytes, for people.
pub(super) fn size(bytes: u64) -> String {
    match bytes as f64 {
        few if few < 1_024.0 => format!("{few:.0} B"),
        some if some < 1_048_576.0 => format!("{:.1} KiB", some / 1_024.0),
        many => format!("{:.1} MiB", many / 1_048_576.0),
    }
}

/// A rate, for people.
pub(super) fn rate(per_second: f64) -> String {
    match per_second {
        0.0 => "0".into(),
        // One in a minute is not none.
        _ if per_second < 0.1 => format!("{per_second:.2}"),
        _ if per_second < 10.0 => format!("{per_second:.1}"),
        _ => format!("{per_second:.0}"),
    }
}

/// The time of day in UTC, of milliseconds since 1970.
pub(super) fn clock(ms: u64) -> String {
    let second = ms / 1_000 % 86_400;
    format!("{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

/// How long ago, in the largest unit that fits.
pub(super) fn ago(ms: u64, now_ms: u64) -> String {
    let seconds = now_ms.saturating_sub(ms) / 1_000;
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let unit = units.into_iter().find(|(length, _)| seconds >= *length);
    unit.map_or("just now".into(), |(length, name)| format!("{} ago", counted(seconds / length, name)))
}

/// So many of something.
pub(super) fn counted(count: impl Into<u64>, what: &str) -> String {
    let count = count.into();
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        let written = [0.0, 12.4, 1_500.0, 250_000.0, 2_500_000.0].map(duration);
        assert_eq!(written, ["–", "12 µs", "1.5 ms", "250 ms", "2.5 s"]);
        assert_eq!([0, 1_023, 1_536, 10 << 20].map(size), ["0 B", "1023 B", "1.5 KiB", "10.0 MiB"]);
        assert_eq!([0.0, 1.0 / 60.0, 0.25, 1234.0].map(rate), ["0", "0.02", "0.2", "1234"]);
        assert_eq!([1_u32, 2].map(|count| counted(count, "file")), ["1 file", "2 files"]);
        assert_eq!(clock(86_399_000), "23:59:59");
        let agos = [0, 1_000, 59_000, 120_000, 86_400_000].map(|ms| ago(10, 10 + ms));
        assert_eq!(agos, ["just now", "1 second ago", "59 seconds ago", "2 minutes ago", "1 day ago"]);
    }

    #[test]
    fn a_chart_stays_within_its_frame() {
        let svg = spark(&[0.0, 5.0, 10.0], "x");
        assert!(svg.contains("M0.0 39.0L120.0 20.5L240.0 2.0"), "{svg}");
        spark(&[], "x");
        spark(&[0.0], "x");
    }
}
