//! Asking for names. The rule: **the caller of [`Resolve::resolve`] never blocks, and each family of each query is
//! answered exactly once**, whatever the resolver does: answers late, panics, or forgets.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use dns_lookup::{AddrFamily, AddrInfoHints, LookupErrorKind, SockType, getaddrinfo};

use crate::error::LookupFailure;
use crate::message::answer::{Address, Answer, Failure, Family, LookupError, Outcome};
use crate::net::workers::{Job, Rules, Workers};

/// Threads of one resolver. `getaddrinfo` cannot be interrupted and may take 15 s, so a few dead names must not
/// stop the others; more than 16 would only press a name server that is in trouble.
const THREADS_MAX: usize = 16;
/// Jobs that wait for a thread: both families of all names that may be looked up at once.
const QUEUE_MAX: usize = 32 * 1024;
/// How long a thread without work stays: the parts of a page come within it.
const IDLE: Duration = Duration::from_secs(10);
/// Stack of a thread. Modules of the system's name service switch run on it and want room.
const STACK_BYTES: usize = 256 * 1024;

const RULES: Rules = Rules {
    threads: THREADS_MAX,
    queue: QUEUE_MAX,
    idle: IDLE,
    stack: STACK_BYTES,
    name: "wirescope-dns",
};

/// Finds the addresses of names. Implement it to bring a resolver of your own, or use [`from_fn`].
///
/// Neither IP addresses nor `localhost` nor overridden names are asked for. Lookups are shared and remembered by
/// the client, so an implementation should not do that itself.
///
/// ```
/// use std::net::IpAddr;
/// use wirescope::message::answer::{Answer, Family};
/// use wirescope::resolver::{Query, Resolve, Sink, Ticket};
///
/// struct AlwaysHere;
///
/// impl Resolve for AlwaysHere {
///     fn resolve(&self, _query: &Query, sink: Sink) -> Ticket {
///         sink.family(Family::V4, Ok(Answer::new([IpAddr::from([127, 0, 0, 1])])));
///         sink.family(Family::V6, Ok(Answer::none()));
///         Ticket::done()
///     }
/// }
/// ```
pub trait Resolve: Send + Sync {
    /// Begins to look a name up and returns without waiting; the answers go to the sink, now or later, from any
    /// thread. Dropping the ticket says that nobody waits any more; an answer is still welcome.
    ///
    /// Called on the thread of the call that needs the name: time spent here is not bounded by a deadline, and a
    /// panic unwinds through that call.
    fn resolve(&self, query: &Query, sink: Sink) -> Ticket;
}

/// What is asked: the addresses of both families of one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    host: Box<str>,
    only: Option<Family>,
}

impl Query {
    pub(crate) fn new(host: &str) -> Self {
        Self {
            host: host.to_ascii_lowercase().into(),
            only: None,
        }
    }

    /// The same question about one family only, or about both.
    #[must_use]
    pub(crate) fn only(self, only: Option<Family>) -> Self {
        Self { only, ..self }
    }

    /// Says whether the addresses of a family are wanted; an answer for a family that is not is ignored.
    #[must_use]
    pub fn wants(&self, family: Family) -> bool {
        self.only.is_none_or(|only| only == family)
    }

    /// The name in lower case; a trailing dot is kept.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }
}

/// Where a resolver puts its answers, from any thread. Clones share one state.
///
/// # Drop
/// When the last clone is dropped, each family that was not answered is reported as
/// [`LookupFailure::Custom`], so a resolver that fails to answer delays nobody.
#[derive(Clone)]
pub struct Sink {
    inner: Arc<SinkInner>,
}

struct SinkInner {
    /// One bit for each family that was answered.
    answered: AtomicU8,
    began: Box<dyn Fn(Family) + Send + Sync>,
    deliver: Box<dyn Fn(Family, Outcome) + Send + Sync>,
}

impl Sink {
    #[cfg(test)]
    pub(crate) fn new(deliver: impl Fn(Family, Outcome) + Send + Sync + 'static) -> Self {
        Self::telling(|_| {}, deliver)
    }

    /// Each family is delivered exactly once, on the thread that answers. `began` is called when the question
    /// about a family is really asked, after it had waited for a thread; resolvers that ask at once may never do
    /// so. Neither may panic.
    pub(crate) fn telling(
        began: impl Fn(Family) + Send + Sync + 'static,
        deliver: impl Fn(Family, Outcome) + Send + Sync + 'static,
    ) -> Self {
        Self {
            inner: Arc::new(SinkInner {
                answered: AtomicU8::new(0),
                began: Box::new(began),
                deliver: Box::new(deliver),
            }),
        }
    }

    /// Answers for one family; the other one may follow later. Only the first answer of a family counts, and only
    /// addresses of that family are used. A name without addresses of the family is an empty answer, or
    /// [`LookupFailure::NoAddress`]; a name that does not exist is [`LookupFailure::NoSuchHost`] for both.
    pub fn family(&self, family: Family, result: Result<Answer, LookupError>) {
        self.inner.answer(family, result.map_err(Failure::from));
    }

    /// Reports one family as [`LookupFailure::Custom`], with the I/O error as the source of the call's error.
    pub fn failed(&self, family: Family, error: io::Error) {
        let outcome = Err(because(LookupFailure::Custom, error));
        self.inner.answer(family, outcome);
    }
}

impl fmt::Debug for Sink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_open = |family: &Family| !self.inner.is_answered(*family);
        let open: Vec<_> = Family::BOTH.into_iter().filter(is_open).collect();
        f.debug_struct("Sink").field("open", &open).finish()
    }
}

impl SinkInner {
    fn is_answered(&self, family: Family) -> bool {
        self.answered.load(Ordering::Acquire) & bit(family) != 0
    }

    fn answer(&self, family: Family, outcome: Outcome) {
        let before = self.answered.fetch_or(bit(family), Ordering::AcqRel);
        if before & bit(family) == 0 {
            (self.deliver)(family, outcome);
        }
    }
}

impl Drop for SinkInner {
    fn drop(&mut self) {
        for family in Family::BOTH {
            self.answer(family, Err(LookupError::new(LookupFailure::Custom).into()));
        }
    }
}

fn bit(family: Family) -> u8 {
    match family {
        Family::V4 => 1,
        Family::V6 => 2,
    }
}

fn because(rule: LookupFailure, error: io::Error) -> Failure {
    let plain = LookupError::new(rule);
    let coded = error
        .raw_os_error()
        .map_or(plain, |code| plain.with_code(code));
    Failure::caused(coded, error)
}

/// The interest in a query.
///
/// # Drop
/// Abandons the query: runs what [`Ticket::new`] was given. The client drops tickets with no lock held.
#[must_use = "dropping the ticket abandons the query"]
pub struct Ticket {
    abandon: Option<Box<dyn FnOnce() + Send>>,
}

impl Ticket {
    /// A ticket that runs `abandon` when it is dropped, also after the query was answered. It should not block.
    pub fn new(abandon: impl FnOnce() + Send + 'static) -> Self {
        Self {
            abandon: Some(Box::new(abandon)),
        }
    }

    /// A ticket of a query that cannot be abandoned, or was answered already.
    pub fn done() -> Self {
        Self { abandon: None }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").finish_non_exhaustive()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(abandon) = self.abandon.take() {
            abandon();
        }
    }
}

/// Makes a resolver of a function that blocks and returns the addresses of a name, both families in one list.
///
/// The function runs on threads of the resolver, at most 16 with 256 KiB of stack each, so deadlines hold however
/// long it takes. An abandoned call runs to its end. An error is reported as [`LookupFailure::Custom`] with the
/// error as source, a panic likewise; the resolver stays usable.
///
/// ```
/// use std::net::IpAddr;
///
/// let resolver = wirescope::resolver::from_fn(|host| match host {
///     "printer.example" => Ok(vec![IpAddr::from([192, 0, 2, 9])]),
///     _ => Err(std::io::ErrorKind::NotFound.into()),
/// });
/// # drop(resolver);
/// ```
pub fn from_fn<F>(function: F) -> impl Resolve + fmt::Debug
where
    F: Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
{
    FnResolver::new(function, RULES)
}

struct FnResolver<F> {
    function: Arc<F>,
    workers: Workers,
}

impl<F> FnResolver<F> {
    fn new(function: F, rules: Rules) -> Self {
        Self {
            function: Arc::new(function),
            workers: Workers::new(rules),
        }
    }
}

impl<F> fmt::Debug for FnResolver<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FnResolver")
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

impl<F> Resolve for FnResolver<F>
where
    F: Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
{
    fn resolve(&self, query: &Query, sink: Sink) -> Ticket {
        let batch = self.workers.batch();
        let job = FnJob {
            function: Arc::clone(&self.function),
            host: query.host.clone(),
            sink,
        };
        self.workers.submit(batch, Box::new(job));
        Ticket::new(self.workers.recall(batch))
    }
}

/// One call of a caller's function, for both families.
struct FnJob<F> {
    function: Arc<F>,
    host: Box<str>,
    sink: Sink,
}

impl<F> Job for FnJob<F>
where
    F: Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static,
{
    fn run(&mut self) {
        match (self.function)(&self.host) {
            Ok(all) => {
                for family in Family::BOTH {
                    let of_family = all.iter().filter(|ip| Family::of(**ip) == family);
                    self.sink
                        .family(family, Ok(Answer::new(of_family.copied())));
                }
            }
            Err(error) => self.fail(error),
        }
    }

    fn fail(&mut self, reason: io::Error) {
        let failure = because(LookupFailure::Custom, reason);
        for family in Family::BOTH {
            self.sink.inner.answer(family, Err(failure.clone()));
        }
    }
}

/// The resolver of the system: `getaddrinfo`, called once for each family, so that a name server that is slow or
/// broken for one family does not hold up the other.
///
/// Hosts file, search domains and name service switch are obeyed; addresses come in the order of RFC 6724 within
/// each family. At most 16 threads; they start on demand and end after 10 s without work.
///
/// # Drop
/// Does not block: idle threads end at once, those inside the system's call after it.
#[derive(Debug)]
pub struct SystemResolver {
    workers: Workers,
}

impl SystemResolver {
    /// A resolver with threads of its own, none of them started.
    #[must_use]
    pub fn new() -> Self {
        Self {
            workers: Workers::new(RULES),
        }
    }

    /// Threads that are alive, busy or idle.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.workers.threads()
    }
}

impl Default for SystemResolver {
    fn default() -> Self {
        Self::new()
    }
}

impl Resolve for SystemResolver {
    fn resolve(&self, query: &Query, sink: Sink) -> Ticket {
        let batch = self.workers.batch();
        for family in Family::BOTH
            .into_iter()
            .filter(|family| query.wants(*family))
        {
            let job = SystemJob {
                family,
                host: query.host.clone(),
                sink: sink.clone(),
            };
            self.workers.submit(batch, Box::new(job));
        }
        Ticket::new(self.workers.recall(batch))
    }
}

/// One call of `getaddrinfo`.
struct SystemJob {
    family: Family,
    host: Box<str>,
    sink: Sink,
}

impl Job for SystemJob {
    fn run(&mut self) {
        (self.sink.inner.began)(self.family);
        let outcome = ask_system(&self.host, self.family);
        self.sink.inner.answer(self.family, outcome);
    }

    fn fail(&mut self, reason: io::Error) {
        let failure = because(LookupFailure::System, reason);
        self.sink.inner.answer(self.family, Err(failure));
    }
}

/// The addresses of one family. glibc tells the zone of a link-local address only when it is asked for both
/// families at once, so such an answer is asked for again.
fn ask_system(host: &str, family: Family) -> Outcome {
    let addrs = call_system(host, Some(family))?;
    if !addrs.iter().any(lacks_zone) {
        return Ok(Answer::new(addrs));
    }
    let zoned = call_system(host, None).unwrap_or_default();
    Ok(Answer::new(fill_zones(&addrs, &zoned)))
}

/// `getaddrinfo` itself. No flags: `AI_ADDRCONFIG` would hide IPv6 on hosts that have it on loopback only.
fn call_system(host: &str, family: Option<Family>) -> Result<Vec<Address>, Failure> {
    let hints = AddrInfoHints {
        address: family.map_or(0, |family| match family {
            Family::V4 => AddrFamily::Inet.into(),
            Family::V6 => AddrFamily::Inet6.into(),
        }),
        socktype: SockType::Stream.into(),
        ..AddrInfoHints::default()
    };
    let found = getaddrinfo(Some(host), None, Some(hints)).map_err(system_failure)?;
    Ok(found
        .filter_map(|info| info.ok().map(|info| info.sockaddr.into()))
        .collect())
}

fn lacks_zone(addr: &Address) -> bool {
    matches!(addr.ip(), IpAddr::V6(ip) if ip.is_unicast_link_local()) && addr.zone() == 0
}

/// Replaces each link-local address without zone by what the second answer has for it.
fn fill_zones(addrs: &[Address], zoned: &[Address]) -> Vec<Address> {
    let mut filled = Vec::with_capacity(addrs.len());
    for addr in addrs {
        let same = |other: &&Address| other.ip() == addr.ip() && other.zone() != 0;
        let before = filled.len();
        if lacks_zone(addr) {
            filled.extend(zoned.iter().filter(same));
        }
        if filled.len() == before {
            filled.push(*addr);
        }
    }
    filled
}

fn system_failure(error: dns_lookup::LookupError) -> Failure {
    let (kind, code) = (error.kind(), error.error_num());
    let cause = io::Error::from(error);
    match (kind, code) {
        // The errno says what happened.
        (LookupErrorKind::System, _) | (_, 0) => because(LookupFailure::System, cause),
        (_, code) => Failure::caused(LookupError::new(eai_rule(code)).with_code(code), cause),
    }
}

/// What a code of `getaddrinfo` means for one family. Negative in glibc, musl and OpenBSD, positive in macOS and
/// the other BSDs.
///
/// NODATA and ADDRFAMILY, "none of this family", are glibc's and some BSDs'; musl says NONAME for both that and a
/// name that does not exist.
fn eai_rule(code: i32) -> LookupFailure {
    match code {
        // EAI_NONAME
        -2 | 8 => LookupFailure::NoSuchHost,
        // EAI_NODATA, EAI_ADDRFAMILY
        -5 | 7 | -9 | 1 => LookupFailure::NoAddress,
        // EAI_AGAIN
        -3 | 2 => LookupFailure::Temporary,
        // EAI_FAIL
        -4 | 4 => LookupFailure::ServerFailure,
        // EAI_MEMORY, EAI_SYSTEM, EAI_OVERFLOW, and those that say we asked wrongly
        _ => LookupFailure::System,
    }
}

#[cfg(test)]
mod tests;
