//! One file by HTTP: bounded in size, time and redirects, stopped and slowed by a gate. Knows no cache and no ELF.

use std::io::{self, Read, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ureq::http::{Response, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, Timeout};

use super::gate::{CalledOff, Gate};
use super::servers::is_url;

/// What a fetch may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// So long it may go without progress: [`LEAST`] bytes, or all that is left.
    pub stall: Duration,
    /// So long it may take as a whole, waits at the gate left out.
    pub total: Duration,
    /// So large a file may be, bytes.
    pub bytes: u64,
}

/// Less than this within [`Limits::stall`] is no progress, as libdebuginfod has it (DEBUGINFOD_TIMEOUT), bytes.
const LEAST: u64 = 100 << 10;
/// No file of debug info is larger, bytes.
const LARGEST: u64 = 2 << 30;
/// Name resolution and connecting are given up after this each.
const CONNECT: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 5;
const DAY: u64 = 24 * 3600;

impl Limits {
    /// DEBUGINFOD_TIMEOUT (90), DEBUGINFOD_MAXTIME (two hours), in seconds, and DEBUGINFOD_MAXSIZE (2 GiB), in bytes; what is not positive
    /// is as good as none there, and is the largest value here.
    pub fn of_environment() -> Limits {
        let number = |name| std::env::var(name).ok()?.trim().parse::<i64>().ok();
        let bounded = |name, default: u64, most: u64| match number(name) {
            None => default,
            Some(value) => u64::try_from(value).ok().filter(|value| *value > 0).map_or(most, |value| value.min(most)),
        };
        Limits {
            stall: Duration::from_secs(bounded("DEBUGINFOD_TIMEOUT", 90, DAY)),
            total: Duration::from_secs(bounded("DEBUGINFOD_MAXTIME", 2 * 3600, DAY)),
            bytes: bounded("DEBUGINFOD_MAXSIZE", LARGEST, LARGEST),
        }
    }

    fn connect(&self) -> Duration {
        CONNECT.min(self.stall)
    }
}

/// Why a server gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// Whoever wanted it does not any more.
    #[error(transparent)]
    CalledOff(#[from] CalledOff),
    /// The server does not have it (404).
    #[error("it is not there")]
    NotThere,
    /// Another status.
    #[error("the server answers {0}")]
    Status(StatusCode),
    /// Redirects that lead nowhere.
    #[error("its redirects are refused: {0}")]
    Redirect(&'static str),
    /// It would be larger than is taken, bytes.
    #[error("it is of {0} bytes or more, which is too large")]
    TooLarge(u64),
    /// The server does not answer, or too slowly.
    #[error("no progress within {} s", .0.as_secs())]
    Stalled(Duration),
    /// There is no connection to it.
    #[error("no connection within {} s", .0.as_secs())]
    Unconnected(Duration),
    /// It has taken too long as a whole.
    #[error("it was not complete after {} s", .0.as_secs())]
    TooLong(Duration),
    /// It ended early: bytes that came, and that were promised.
    #[error("it ended after {0} of {1} bytes")]
    CutOff(u64, u64),
    /// What came is no ELF file of the build that was asked for.
    #[error("what it sends is not of this build")]
    OtherBuild,
    /// The connection failed.
    #[error("{0}")]
    Network(String),
    /// What came cannot be written.
    #[error("cannot write it: {0}")]
    Write(io::Error),
}

impl FetchError {
    /// Whether the server is better not asked again soon.
    pub fn is_of_server(&self) -> bool {
        matches!(self, FetchError::Stalled(_) | FetchError::Unconnected(_) | FetchError::Network(_))
    }
}

/// An agent for one job: it can be shut down from another thread.
pub fn agent(limits: &Limits) -> Agent {
    let connect = limits.connect();
    let config = Agent::config_builder()
        .user_agent(concat!("godbg/", env!("CARGO_PKG_VERSION")))
        .http_status_as_error(false)
        // They are followed here, where the gate is.
        .max_redirects(0)
        .tls_config(TlsConfig::builder().root_certs(roots()).build())
        .timeout_resolve(Some(connect))
        .timeout_connect(Some(connect))
        .timeout_send_request(Some(limits.stall))
        .timeout_recv_response(Some(limits.stall))
        .timeout_per_read(Some(limits.stall));
    config.build().new_agent()
}

/// The certificates that this machine trusts; where it has none, Mozilla's.
fn roots() -> RootCerts {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
    let find = || {
        let found = rustls_native_certs::load_native_certs().certs;
        let found: Vec<Certificate<'static>> = found.iter().map(|der| Certificate::from_der(der).to_owned()).collect();
        if found.is_empty() { RootCerts::WebPki } else { found.into() }
    };
    ROOTS.get_or_init(find).clone()
}

/// A file that is on its way.
pub struct Incoming {
    body: Body,
    length: Option<u64>,
    begun: Instant,
}

/// Asks for a file, following redirects.
pub fn ask(agent: &Agent, url: &str, gate: &Gate, limits: &Limits) -> Result<Incoming, FetchError> {
    let mut url = url.to_owned();
    for _ in 0..=MOST_REDIRECTS {
        gate.pass()?;
        let begun = Instant::now();
        let response = agent.get(&url).call().map_err(|error| network(error, gate, limits))?;
        let status = response.status();
        if status.is_redirection() {
            url = next_url(&url, &response).map_err(FetchError::Redirect)?;
            continue;
        }
        if status == StatusCode::NOT_FOUND {
            return Err(FetchError::NotThere);
        }
        if status != StatusCode::OK {
            return Err(FetchError::Status(status));
        }
        let body = response.into_body();
        let length = body.content_length();
        if let Some(length) = length.filter(|length| *length > limits.bytes) {
            return Err(FetchError::TooLarge(length));
        }
        return Ok(Incoming { body, length, begun });
    }
    Err(FetchError::Redirect("there are too many"))
}

impl Incoming {
    /// Writes it to `to`, telling `progress` of what has come and what was promised; its length.
    pub fn write(
        self,
        to: &mut impl Write,
        gate: &Gate,
        limits: &Limits,
        mut progress: impl FnMut(u64, Option<u64>),
    ) -> Result<u64, FetchError> {
        let Incoming { body, length, begun } = self;
        // One more than is taken: that it is more has to be seen.
        let mut reader = body.into_with_config().limit(limits.bytes.saturating_add(1)).reader();
        let (mut buffer, mut received, mut waited) = (vec![0; 64 << 10], 0, Duration::ZERO);
        let (mut window, mut received_before) = (Duration::ZERO, 0);
        loop {
            progress(received, length);
            waited += gate.pass()?;
            let got = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    gate.pass()?;
                    return Err(FetchError::CutOff(received, length.unwrap_or(received)));
                }
                Err(error) => return Err(network(error.into(), gate, limits)),
            };
            received += got as u64;
            if received > limits.bytes {
                return Err(FetchError::TooLarge(received));
            }
            to.write_all(&buffer[..got]).map_err(FetchError::Write)?;
            let taken = begun.elapsed().saturating_sub(waited);
            if taken > limits.total {
                return Err(FetchError::TooLong(limits.total));
            }
            if taken > window + limits.stall {
                if received - received_before < LEAST {
                    return Err(FetchError::Stalled(limits.stall));
                }
                (window, received_before) = (taken, received);
            }
        }
        match length.filter(|length| *length != received) {
            Some(length) => Err(FetchError::CutOff(received, length)),
            None => Ok(received),
        }
    }
}

/// Why the connection failed. One that was shut down because the job was called off is no failure.
fn network(error: ureq::Error, gate: &Gate, limits: &Limits) -> FetchError {
    if gate.is_called_off() {
        return FetchError::CalledOff(CalledOff);
    }
    match error {
        ureq::Error::Timeout(Timeout::Resolve | Timeout::Connect) => FetchError::Unconnected(limits.connect()),
        ureq::Error::Timeout(_) => FetchError::Stalled(limits.stall),
        // In words, without the crate's.
        ureq::Error::Io(error) => FetchError::Network(error.to_string()),
        error => FetchError::Network(error.to_string()),
    }
}

/// Where a redirect leads: an address, or a path of the same server. Never from https to http.
fn next_url(url: &str, response: &Response<Body>) -> Result<String, &'static str> {
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok());
    let location = location.ok_or("one does not say where to")?;
    let next = if location.starts_with('/') && !location.starts_with("//") {
        let behind = url.find("://").map_or(0, |at| at + 3);
        let host = url[behind..].find('/').map_or(url.len(), |at| behind + at);
        format!("{}{location}", &url[..host])
    } else {
        location.to_owned()
    };
    if !is_url(&next) {
        return Err("one leads to no address of HTTP");
    }
    if url.starts_with("https://") && !next.starts_with("https://") {
        return Err("one leads from https to http");
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redirects_stay_with_https_and_http() {
        let next = |url: &str, location: &str| {
            let response = Response::builder().header("Location", location);
            next_url(url, &response.body(Body::builder().data("")).expect("a response"))
        };
        assert_eq!(next("http://a:1/b/c", "/d").as_deref(), Ok("http://a:1/d"));
        assert_eq!(next("http://a", "/d").as_deref(), Ok("http://a/d"));
        assert_eq!(next("http://a/b", "https://c/d").as_deref(), Ok("https://c/d"));
        for (url, location) in [
            ("https://a/b", "http://a/b"),
            ("http://a/b", "file:///etc/passwd"),
            ("http://a/b", "//c/d"),
            ("http://a", ""),
        ] {
            assert!(next(url, location).is_err(), "{url} {location}");
        }
    }
}
