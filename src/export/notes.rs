//! What is worth saying of one call beside where its time went.

use std::time::Duration;

use crate::error::{Tried, TriedOutcome};
use crate::event::{
    EventData, ExpectOutcome, GotConn, ProxyConnectDone, ProxySelected, ProxySource, Redirect,
    RedirectRefusal, TlsRole,
};
use crate::export::waterfall::Call;
use crate::export::{server_timing, shown};
use crate::message::anomaly::Anomaly;
use crate::message::answer::AnswerSource;
use crate::message::fields::{Fields, list_elements};
use crate::message::tls::TlsFacts;

/// A call shorter than this has no slow phase.
const SLOW_MIN: Duration = Duration::from_millis(50);

/// The share of the total from which a phase is called slow, in percent.
const SLOW_PERCENT: u128 = 40;

/// The notes of a call: what was slow first, then in the order in which things happened.
pub(crate) fn notes(call: &Call<'_>) -> Vec<String> {
    let mut notes: Vec<String> = slow(call).into_iter().collect();
    for event in call.events {
        notes.extend(note(event.data(), call.since(event)));
    }
    if let Some(early) = call.timings.early_response() {
        notes.push(format!(
            "the response began {} before the request was fully sent",
            shown(early)
        ));
    }
    notes
}

fn slow(call: &Call<'_>) -> Option<String> {
    let total = call.timings.total();
    let (name, length) = (call.timings.phases().named())
        .into_iter()
        .filter_map(|(name, length)| Some((name, length?)))
        .max_by_key(|(_, length)| *length)?;
    let percent = length.as_nanos() * 100 / total.as_nanos().max(1);
    (total >= SLOW_MIN && percent >= SLOW_PERCENT).then(|| {
        let (length, why) = (shown(length), meaning(name));
        format!("slow: {name} took {length}, {percent} % of the call ({why})")
    })
}

fn meaning(phase: &str) -> &'static str {
    match phase {
        "redirect" => "the hops before the last",
        "retry" => "attempts that were made again",
        "queue" => "getting a connection",
        "dns" => "looking the name up",
        "tcp" => "connecting",
        "proxy" => "getting through the proxy",
        "tls" => "the tls handshake",
        "send" => "sending the request",
        "wait100" => "waiting for 100 (continue)",
        "wait" => "the server's time to the first byte of its response",
        "receive" => "receiving the response",
        "caller" => "reading the request body or taking the response",
        _ => "nothing that has a name",
    }
}

/// What a reader should know of a redirect beside where it led.
fn redirect_note(redirect: &Redirect) -> Vec<String> {
    let to = redirect.to().map_or("nowhere", |to| to);
    match redirect.refusal() {
        Some(RedirectRefusal::NoLocation) => Vec::new(),
        Some(refusal) => vec![format!(
            "the redirect to {to} was not followed: {}",
            refusal.tag().replace('_', " ")
        )],
        None => {
            let mut notes = vec![format!("redirect {} to {to}", redirect.status())];
            if redirect.from().starts_with("https:") && to.starts_with("http:") {
                notes.push(format!("the redirect to {to} leaves TLS"));
            }
            if !redirect.stripped().is_empty() {
                let names = redirect.stripped().join(", ");
                notes.push(format!("not sent on to {to}: {names}"));
            }
            notes
        }
    }
}

fn note(data: EventData<'_>, at: Duration) -> Vec<String> {
    let one = |text: String| vec![text];
    match data {
        EventData::Retry(retry) => one(match (retry.error(), retry.status()) {
            (Some(error), _) => format!("made again at {}: {}", shown(at), error.message()),
            (None, Some(status)) => format!("made again at {}: status {status}", shown(at)),
            (None, None) => format!("made again at {}", shown(at)),
        }),
        EventData::Redirect(redirect) => redirect_note(redirect),
        EventData::PoolLookup(lookup) => (lookup.discarded().iter())
            .map(|reason| format!("an idle connection was not used: {reason}"))
            .collect(),
        EventData::QueueDone(done) => one(format!(
            "waited {} for a connection, because of the limit {}",
            shown(done.waited()),
            done.limit().tag()
        )),
        EventData::DialPlan(plan) => (plan.refused().iter())
            .map(|addr| format!("{addr} may not be dialed"))
            .collect(),
        EventData::DnsDone(done) if done.source() == AnswerSource::Cache => {
            one("the addresses came from the cache".to_owned())
        }
        EventData::DialDone(done) => (done.tried().iter()).map(tried_note).collect(),
        EventData::ProxySelected(selected) => through(selected).into_iter().collect(),
        EventData::ProxyConnectDone(done) => refusal(done).into_iter().collect(),
        EventData::TlsHandshakeDone(done) => (done.facts().map(|facts| tls(facts)))
            .map(|text| match done.to() {
                TlsRole::Proxy => format!("with the proxy: {text}"),
                TlsRole::Origin => text,
            })
            .into_iter()
            .collect(),
        EventData::GotConn(got) => one(connection(got)),
        EventData::Got1xxResponse(interim) => one(format!(
            "{} at {}{}",
            interim.status(),
            shown(at),
            listed(interim.fields())
        )),
        EventData::ExpectDone(done) => one(expectation(done.outcome(), done.waited())),
        EventData::GotResponseHead(head) => (head.fields().get_all("server-timing"))
            .flat_map(list_elements)
            .take(head.server_timing().len())
            .map(|entry| format!("server-timing: {}", server_timing::shown(entry)))
            .collect(),
        EventData::Anomaly(seen) if seen.anomaly() == Anomaly::TooManyAddresses => {
            let (what, count) = (seen.anomaly(), seen.count());
            one(format!("anomaly: {what}, {count} are left out"))
        }
        EventData::Anomaly(seen) => one(format!(
            "anomaly: {}, {} at byte {}",
            seen.anomaly(),
            times(seen.count()),
            seen.offset()
        )),
        EventData::GotTrailerField(field) => one(format!(
            "trailer {}: {}{}",
            field.name(),
            field.value().escape_ascii(),
            if field.used() { "" } else { " (not used)" }
        )),
        EventData::TimeoutFired(fired) => one(format!(
            "timeout {} fired at {}, its limit is {}",
            fired.timer().tag(),
            shown(at),
            shown(fired.limit())
        )),
        EventData::CallCanceled(canceled) => one(format!(
            "canceled by {} in phase {}",
            canceled.by().tag(),
            canceled.phase().tag()
        )),
        EventData::PutIdleConn(put) => (put.error())
            .map(|reason| format!("the connection is not kept: {reason}"))
            .into_iter()
            .collect(),
        EventData::EventsLost(lost) => one(format!("{} events were lost", lost.count())),
        _ => Vec::new(),
    }
}

fn tried_note(tried: &Tried) -> String {
    let (outcome, elapsed) = (tried.outcome(), shown(tried.elapsed()));
    let why = match outcome {
        TriedOutcome::Lost => ": another one was quicker",
        _ => "",
    };
    format!("{} {outcome} after {elapsed}{why}", tried.addr())
}

/// Which proxy a hop goes through, if any, and which variable or function said so.
fn through(selected: &ProxySelected) -> Option<String> {
    let (scheme, host, port) = (selected.scheme()?, selected.host()?, selected.port()?);
    let at = match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    };
    let by = match (selected.source(), selected.rule()) {
        (ProxySource::Explicit, _) => String::new(),
        (_, Some(rule)) => format!(", by {rule}"),
        (source, None) => format!(", by {}", source.tag()),
    };
    Some(format!("through the proxy {scheme}://{at}{by}"))
}

/// What a proxy said instead of opening a tunnel.
fn refusal(done: &ProxyConnectDone) -> Option<String> {
    done.error()?;
    let status = done.status()?;
    let said = listed(done.fields());
    Some(format!("the proxy answered {status}{said}"))
}

fn connection(got: &GotConn) -> String {
    let local = got.local().map(|local| format!(" from {local}"));
    let way = format!("{}{}", got.remote(), local.unwrap_or_default());
    if !got.reused() {
        return format!("new connection to {way}");
    }
    let idle = got.idle().map(|idle| format!(", idle for {}", shown(idle)));
    let before = times(u32::try_from(got.requests()).unwrap_or(u32::MAX));
    format!(
        "reused the connection to {way}, used {before} before{}",
        idle.unwrap_or_default()
    )
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn tls(facts: &TlsFacts) -> String {
    let mut text = format!("{} {}", facts.version(), facts.cipher_suite());
    if let Some(group) = facts.key_exchange() {
        text.push_str(&format!(" {group}"));
    }
    text.push_str(&format!(", {} handshake", facts.handshake()));
    if let Some(protocol) = facts.alpn() {
        text.push_str(&format!(", alpn {protocol}"));
    }
    if let Some(own) = facts.certificates().first() {
        let (subject, issuer) = (own.subject(), own.issuer());
        text.push_str(&format!(", certificate \"{subject}\" by \"{issuer}\""));
    }
    text
}

fn expectation(outcome: ExpectOutcome, waited: Duration) -> String {
    let waited = shown(waited);
    match outcome {
        ExpectOutcome::Continue => format!("100 (continue) came after {waited}, the body was sent"),
        ExpectOutcome::TimedOut => {
            format!("no 100 (continue) within {waited}, the body was sent all the same")
        }
        ExpectOutcome::FinalResponse => {
            format!("a final response came after {waited} instead of 100, the body was not sent")
        }
        other => format!(
            "the wait for 100 (continue) ended after {waited}: {}",
            other.tag()
        ),
    }
}

/// Field lines behind a colon, escaped.
fn listed(fields: &Fields) -> String {
    let lines: Vec<_> = fields
        .iter()
        .map(|line| format!("{}: {}", line.name(), line.value().escape_ascii()))
        .collect();
    match lines.is_empty() {
        true => String::new(),
        false => format!(", {}", lines.join("; ")),
    }
}
