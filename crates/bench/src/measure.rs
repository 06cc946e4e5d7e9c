//! Sampling: contestants take turns (A B A B …), so that a disturbance of the machine meets all of them;
//! the median of the turns is the figure.

use std::time::{Duration, Instant};

use anyhow::Result;
use rustix::time::{ClockId, clock_gettime};

/// One contestant: takes a sample each time it is called.
pub(crate) type Sampler<'a> = Box<dyn FnMut() -> Result<f64> + 'a>;

/// The medians of `runs` interleaved samples of each contestant, after one round that is thrown away.
pub(crate) fn interleaved(contestants: &mut [Sampler<'_>], runs: usize) -> Result<Vec<f64>> {
    let mut samples = vec![Vec::with_capacity(runs); contestants.len()];
    for round in 0..=runs {
        for (contestant, samples) in contestants.iter_mut().zip(&mut samples) {
            let sample = contestant()?;
            if round > 0 {
                samples.push(sample);
            }
        }
    }
    Ok(samples.into_iter().map(median).collect())
}

/// The middle value; the mean of the two middle ones where their number is even.
pub(crate) fn median(mut samples: Vec<f64>) -> f64 {
    assert!(!samples.is_empty(), "a median needs samples");
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    if samples.len() % 2 == 1 { samples[middle] } else { f64::midpoint(samples[middle - 1], samples[middle]) }
}

/// The geometric mean of positive values, or none of nothing.
pub(crate) fn geometric_mean(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let logs: Vec<f64> = values.into_iter().map(f64::ln).collect();
    (!logs.is_empty()).then(|| (logs.iter().sum::<f64>() / logs.len() as f64).exp())
}

/// The CPU time of this thread while `work` runs: what a neighbour on the machine disturbs least.
pub(crate) fn thread_cpu<T>(work: impl FnOnce() -> Result<T>) -> Result<(Duration, T)> {
    let start = now(ClockId::ThreadCPUTime);
    let value = work()?;
    Ok((now(ClockId::ThreadCPUTime) - start, value))
}

/// Wall time and CPU time of the whole process while `work` runs.
pub(crate) fn process_cost<T>(work: impl FnOnce() -> Result<T>) -> Result<(Duration, Duration, T)> {
    let (wall, cpu) = (Instant::now(), now(ClockId::ProcessCPUTime));
    let value = work()?;
    Ok((wall.elapsed(), now(ClockId::ProcessCPUTime) - cpu, value))
}

fn now(clock: ClockId) -> Duration {
    let t = clock_gettime(clock);
    Duration::new(t.tv_sec.unsigned_abs(), t.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_means() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(geometric_mean([]), None);
        assert!((geometric_mean([2.0, 8.0]).unwrap() - 4.0).abs() < 1e-12);
    }

    #[test]
    fn contestants_alternate_and_the_first_round_is_dropped() {
        let order = std::cell::RefCell::new(Vec::new());
        let sampler = |name: char, first: f64| -> Sampler<'_> {
            let (mut next, order) = (first, &order);
            Box::new(move || {
                order.borrow_mut().push(name);
                next += 1.0;
                Ok(next - 1.0)
            })
        };
        let medians = interleaved(&mut [sampler('a', 0.0), sampler('b', 10.0)], 3).unwrap();
        assert_eq!(medians, [2.0, 12.0]);
        assert_eq!(order.into_inner(), ['a', 'b', 'a', 'b', 'a', 'b', 'a', 'b']);
    }
}
