//! Debug info from debuginfod servers (debuginfod(8)): which servers, HTTP, the cache that is shared with libdebuginfod, and a job that
//! fetches one file on a thread of its own. Knows no process: whoever starts a job says when it may use the network.

mod cache;
mod gate;
mod http;
mod job;
mod servers;

pub use cache::{Cache, Kept};
pub use http::Limits;
pub use job::{End, Job, Request, Unreachable};
pub use servers::{of_environment, parse_urls};
