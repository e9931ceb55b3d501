//! `-v`: what goes over the wire, as curl shows it: `*` what happens, `>` what is sent, `<` what comes.
//!
//! Made from events alone, so that secrets are hidden here as everywhere.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use wirescope::event::{
    ConnectOutcome, Event, EventData, Interest, Observer, ProxyConnectDone, ProxySelected,
    ProxySource, TlsRole, Verdict,
};
use wirescope::message::fields::Fields;
use wirescope::{ProxyScheme, Url};

use crate::tls;

/// Writes what happens to standard error, as it happens.
#[derive(Debug, Default)]
pub(crate) struct Verbose {
    asking: Mutex<Asking>,
}

/// What the request under way asks for.
#[derive(Debug, Default)]
struct Asking {
    method: String,
    url: String,
    /// Whether the request goes to a proxy as a whole.
    is_forwarded: bool,
}

impl Observer for Verbose {
    fn interest(&self) -> Interest {
        Interest::DEFAULT
    }

    fn on_event(&self, event: &Event) -> Verdict {
        let mut asking = self.asking.lock().unwrap_or_else(PoisonError::into_inner);
        let text = asking.lines(event.data());
        // Where standard error cannot be written, nobody can be told.
        let _ = io::stderr().lock().write_all(text.as_bytes());
        Verdict::Continue
    }
}

/// What went over the wire in one call, from its events.
pub(crate) fn wire(events: &[Event]) -> String {
    let mut asking = Asking::default();
    (events.iter())
        .map(|event| asking.lines(event.data()))
        .collect()
}

impl Asking {
    fn lines(&mut self, data: EventData<'_>) -> String {
        match data {
            EventData::CallStart(call) => {
                self.method = call.method().to_owned();
                self.url = call.url().to_owned();
                String::new()
            }
            EventData::ProxySelected(selected) => {
                self.is_forwarded = is_http(selected) && self.url.starts_with("http:");
                selection(selected).map_or_else(String::new, |text| format!("* {text}\n"))
            }
            EventData::Redirect(redirect) if redirect.followed() => {
                self.method = redirect.method_after().to_owned();
                self.is_forwarded = false;
                let to = redirect.to().map_or("", |to| to);
                self.url = to.to_owned();
                format!("* Redirect {} to {to}\n", redirect.status())
            }
            EventData::WroteHeaderField(field) => {
                let line = line(">", field.name(), field.value());
                match field.index() {
                    0 => format!("> {} {} HTTP/1.1\n{line}", self.method, self.target()),
                    _ => line,
                }
            }
            EventData::WroteHeaders(_) => ">\n".to_owned(),
            EventData::WroteTrailerField(field) => line(">", field.name(), field.value()),
            EventData::Got1xxResponse(interim) => {
                let head = format!("< HTTP/1.1 {}\n", interim.status());
                head + &section(interim.fields())
            }
            EventData::GotResponseHead(head) => {
                let status = format!("{} {} {}", head.version(), head.status(), head.reason());
                format!("< {}\n", status.trim_end()) + &section(head.fields())
            }
            EventData::GotTrailerField(field) => line("<", field.name(), field.value()),
            EventData::ProxyConnectDone(done) => tunnel(done),
            other => star(other).map_or_else(String::new, |text| format!("* {text}\n")),
        }
    }
}

/// Says whether the proxy is given whole requests for http.
fn is_http(selected: &ProxySelected) -> bool {
    matches!(
        selected.scheme(),
        Some(ProxyScheme::Http | ProxyScheme::Https)
    )
}

/// Which proxy was chosen, and by what.
fn selection(selected: &ProxySelected) -> Option<String> {
    let by = match (selected.source(), selected.rule()) {
        (ProxySource::Explicit, None) => String::new(),
        (source, None) => format!(" ({})", source.tag()),
        (source, Some(rule)) => format!(" ({} {rule})", source.tag()),
    };
    let Some((scheme, host)) = selected.scheme().zip(selected.host()) else {
        return Some(format!("No proxy{by}"));
    };
    let port = selected.port()?;
    Some(match host.contains(':') {
        true => format!("Proxy {scheme}://[{host}]:{port}{by}"),
        false => format!("Proxy {scheme}://{host}:{port}{by}"),
    })
}

/// What came of asking a proxy for a tunnel, and the fields of its answer.
fn tunnel(done: &ProxyConnectDone) -> String {
    let said = match done.fields().is_empty() {
        true => String::new(),
        false => section(done.fields()),
    };
    match (done.error(), done.status()) {
        (None, None) => "* Tunnel established\n".to_owned(),
        (None, Some(status)) => format!("* Tunnel established ({status})\n{said}"),
        (Some(_), Some(status)) => format!("* No tunnel, the proxy answered {status}\n{said}"),
        (Some(error), None) => format!("* {}\n", error.message()),
    }
}

/// What happens beside the messages.
fn star(data: EventData<'_>) -> Option<String> {
    Some(match data {
        EventData::DnsDone(done) => {
            let addrs: Vec<_> = (done.addrs().iter())
                .map(|address| address.ip().to_string())
                .collect();
            match done.error() {
                Some(error) => error.message().to_owned(),
                None => format!("Addresses: {}", addrs.join(", ")),
            }
        }
        EventData::ConnectStart(start) => {
            format!("Trying {} ({})", start.addr(), start.reason().tag())
        }
        EventData::ConnectDone(done) if done.outcome() == ConnectOutcome::Connected => {
            format!("Connected to {}", done.addr())
        }
        EventData::ConnectDone(done) => format!("{} {}", done.addr(), done.outcome().tag()),
        EventData::TlsHandshakeStart(start) => {
            let session = if start.resumption() {
                ", and to resume a session"
            } else {
                ""
            };
            let to = match start.to() {
                TlsRole::Proxy => " the proxy",
                _ => "",
            };
            format!("ALPN: wirescope offers{to} {}{session}", start.alpn())
        }
        EventData::TlsHandshakeDone(done) => tls::told(done)?,
        EventData::ProxyConnectStart(start) => {
            format!(
                "Asking {} for a tunnel to {}",
                start.proxy(),
                start.target()
            )
        }
        EventData::GotConn(got) if got.reused() => {
            format!("Reusing the connection to {}", got.remote())
        }
        EventData::PoolLookup(lookup) if !lookup.discarded().is_empty() => {
            let reasons: Vec<_> = lookup.discarded().iter().map(ToString::to_string).collect();
            format!("Idle connections not used: {}", reasons.join(", "))
        }
        EventData::TimeoutFired(fired) => {
            format!("Timeout {} after {:?}", fired.timer().tag(), fired.limit())
        }
        EventData::ExpectDone(done) => format!("Wait for 100: {}", done.outcome().tag()),
        EventData::Anomaly(seen) => format!("Anomaly: {}", seen.anomaly()),
        EventData::Retry(retry) => format!("Made again: {}", retry.rule().tag()),
        EventData::PutIdleConn(put) => match put.error() {
            None => "Connection kept".to_owned(),
            Some(reason) => format!("Connection not kept: {reason}"),
        },
        EventData::CallDone(done) => done.error()?.message().to_owned(),
        _ => return None,
    })
}

impl Asking {
    /// The request target, as far as it may be shown.
    fn target(&self) -> String {
        let target = target(&self.url);
        match self.url.find("//").filter(|_| self.is_forwarded) {
            Some(slashes) => {
                let host = &self.url[slashes + 2..];
                let end = host.find(['/', '?', '#']).unwrap_or(host.len());
                format!("http://{}{target}", &host[..end])
            }
            None => target,
        }
    }
}

/// The request target of a URL that may be shown.
fn target(url: &str) -> String {
    Url::parse(url).map_or_else(
        |_| {
            // A redacted parameter has a space in it.
            let after = url.split_once("://").map_or(url, |(_, after)| after);
            after.find('/').map_or_else(
                || "/".to_owned(),
                |path| after[path..].split('#').next().unwrap_or("/").to_owned(),
            )
        },
        |url| url.request_target().to_owned(),
    )
}

fn section(fields: &Fields) -> String {
    let lines = fields.iter().map(|one| line("<", one.name(), one.value()));
    lines.chain(["<\n".to_owned()]).collect()
}

fn line(mark: &str, name: &str, value: &[u8]) -> String {
    format!("{mark} {name}: {}\n", shown(value))
}

/// A value as it stands on the wire, but for bytes that a terminal might obey.
fn shown(value: &[u8]) -> String {
    value
        .iter()
        .map(|byte| match byte {
            b' '..=b'~' => char::from(*byte).to_string(),
            _ => byte.escape_ascii().to_string(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_shown_as_it_stands_but_for_what_a_terminal_obeys() {
        assert_eq!(shown(br#"W/"a\b" c"#), r#"W/"a\b" c"#);
        assert_eq!(shown(b"\x1b[31m\xe9\t"), "\\x1b[31m\\xe9\\t");
    }

    #[test]
    fn the_target_of_a_url_that_may_be_shown() {
        let check = |url: &str, expected: &str| assert_eq!(target(url), expected, "{url}");
        check("http://a/b?c#d", "/b?c");
        check("http://a", "/");
        check("http://a/b?key=[redacted 2 B]#d", "/b?key=[redacted 2 B]");
    }
}
