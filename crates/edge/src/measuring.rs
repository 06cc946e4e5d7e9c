//! An entrance for measurements (`bench edge`): the same server, in which a function answers where else an instance does.

use std::future::ready;

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{StatusCode, Uri};
use selvedge_runtime::{Module, Pool};

use crate::exchange::Head;
use crate::guest::{Call, Ending, Guest, Interface, Program, Provision, StartError, Unfit, Used};
use crate::prepared::Prepared;

/// The body, a plain text, of a response to who asks for this.
pub type Answer = fn(&Uri) -> Vec<u8>;

/// A server that answers so, whatever is deployed: all that it does for a request but the instance's part.
pub fn natively(prepared: Prepared, answer: Answer) -> Prepared {
    Prepared { interface: Box::new(Native(answer)), ..prepared }
}

/// The interface of no program, and the program of none.
#[derive(Clone, Copy)]
struct Native(Answer);

impl Interface for Native {
    fn prepare(&self, _: &Module, _: Provision) -> Result<Box<dyn Program>, Unfit> {
        Ok(Box::new(*self))
    }
}

impl Program for Native {
    fn start(&self, _: &Pool, call: Call<'_>) -> Result<Guest, StartError> {
        let Call { parts, limits, exchange, log, admission, .. } = call;
        let body = (self.0)(&parts.uri);
        let mut headers = std::mem::take(&mut parts.headers);
        headers.clear();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
        let begun = exchange.begin(Head { status: StatusCode::OK, headers }, &body, limits.response_body.0);
        // Only a body that is too long is refused, and then the exchange says so.
        debug_assert!(begun.is_ok_and(|taken| taken == body.len()), "the answer is longer than any program's may be");
        let ending = Ending { result: Ok(()), memory_refused: false, used: Used::default(), explanation: None };
        Ok(Box::pin(async move {
            // As an instance has them, until it is gone.
            let _held = (log, admission);
            ready(ending).await
        }))
    }
}
