//! The time that a connection has for each head, kept by one alarm.
//!
//! hyper wants a timer for every head, and drops it when the head is there, mostly at once. To set and unset one with the
//! executor takes its lock twice. Here an alarm that is set already stays set: when it rings, and the time of the head that
//! is waited for then is not over, it is set anew.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::rt::{Sleep, Timer};
use tokio::time::sleep_until;

/// Times the heads of one connection.
#[derive(Default)]
pub(super) struct HeadTimer(Alarm);

type Alarm = Arc<Mutex<Option<Pin<Box<tokio::time::Sleep>>>>>;

/// The time of one head.
struct Waiting {
    alarm: Alarm,
    until: Instant,
}

impl Timer for HeadTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(self.now() + duration)
    }

    fn sleep_until(&self, until: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Waiting { alarm: self.0.clone(), until })
    }

    fn now(&self) -> Instant {
        tokio::time::Instant::now().into()
    }
}

impl Sleep for Waiting {}

impl Future for Waiting {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let until = tokio::time::Instant::from_std(self.until);
        // Nothing below leaves it half changed.
        let mut shared = self.alarm.lock().unwrap_or_else(PoisonError::into_inner);
        let alarm = shared.get_or_insert_with(|| Box::pin(sleep_until(until)));
        if alarm.deadline() > until {
            alarm.as_mut().reset(until);
        }
        while alarm.as_mut().poll(context).is_ready() {
            if alarm.deadline() >= until {
                return Poll::Ready(());
            }
            // It was set for a head that has come.
            alarm.as_mut().reset(until);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, advance};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_head_has_its_own_time() {
        let timer = HeadTimer::default();
        let began = Instant::now();
        let time = Duration::from_secs(10);
        for _ in 0..5 {
            let mut head = timer.sleep(time);
            let soon = tokio::time::timeout(Duration::from_secs(7), head.as_mut()).await;
            assert!(soon.is_err(), "after {:?}", began.elapsed());
        }
        let began = Instant::now();
        timer.sleep(time).await;
        assert_eq!(began.elapsed(), time);
        // One that was late when it was first looked at, and one that ends before another would have.
        let late = timer.sleep(time);
        advance(time * 2).await;
        let began = Instant::now();
        late.await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        let mut long = timer.sleep(time * 3);
        assert!(tokio::time::timeout(Duration::ZERO, long.as_mut()).await.is_err());
        let began = Instant::now();
        timer.sleep(time).await;
        assert_eq!(began.elapsed(), time);
    }
}
