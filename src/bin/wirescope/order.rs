//! What each URL is asked: the request of the command line.

use std::path::PathBuf;

use wirescope::event::{ObserverRef, Redaction};
use wirescope::message::overrides::Overrides;
use wirescope::message::range::Ranges;
use wirescope::message::url::encode_stray;
use wirescope::{Client, DialProfile, Family, RedirectPolicy, Request, TcpKeepAlive};

use crate::args::{Args, RaceForm};
use crate::body::{joined, put_to, upload};
use crate::connect_to;
use crate::exit::Failure;
use crate::fields::FieldLines;
use crate::interface;
use crate::proxy;
use crate::tls;
use crate::verbose::Verbose;

/// The content type of a form, as `-d` sends it.
const FORM: &str = "application/x-www-form-urlencoded";

/// Everything that is the same for all URLs.
pub(crate) struct Order<'a> {
    args: &'a Args,
    fields: FieldLines,
    content: Option<std::sync::Arc<[u8]>>,
}

impl<'a> Order<'a> {
    pub(crate) fn read(args: &'a Args) -> Result<Self, Failure> {
        let content = match &args.content[..] {
            [] => None,
            parts => Some(joined(parts)?.into()),
        };
        let fields = FieldLines::read(&args.headers)?;
        Ok(Self {
            args,
            fields,
            content,
        })
    }

    fn method(&self) -> &str {
        match (&self.args.method, self.args.head) {
            (Some(method), _) => method,
            (None, true) => "HEAD",
            (None, false) if self.content.is_some() => "POST",
            (None, false) if self.args.upload.is_some() => "PUT",
            (None, false) => "GET",
        }
    }

    /// The request for one URL.
    pub(crate) fn request(&self, client: &Client, url: &str) -> Result<Request, Failure> {
        let url = self.url(url);
        let mut request = client.request(self.method(), &url)?.allow_trace();
        if let Some(user) = self
            .args
            .user
            .as_deref()
            .filter(|_| !self.fields.speak_of("authorization"))
        {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            request = request.basic_auth(user, password)?;
        }
        request = self.fields.apply(request)?;
        if let Some(range) = self.args.range.as_deref() {
            request = request.header("Range", &range_field(range)?)?;
        }
        if let Some(content) = &self.content {
            if !self.fields.speak_of("content-type") {
                request = request.header("Content-Type", FORM)?;
            }
            request = request.body_shared(content.clone()).allow_body();
        }
        match &self.args.upload {
            Some(file) => Ok(upload(request, file)?.allow_body()),
            None => Ok(request),
        }
    }

    /// The URL with a scheme, with what people type encoded where the grammar wants it, and with the name of the
    /// file that is put there.
    fn url(&self, url: &str) -> String {
        let url = match url.contains("://") {
            true => encode_stray(url).into_owned(),
            false => encode_stray(&format!("http://{url}")).into_owned(),
        };
        match &self.args.upload {
            Some(file) => put_to(&url, file),
            None => url,
        }
    }
}

/// The field of `-r`, as it was written: what comes is written as it comes, so nobody has to take it apart.
fn range_field(range: &str) -> Result<String, Failure> {
    let field = format!("bytes={range}");
    match Ranges::parse(field.as_bytes()) {
        Some(_) => Ok(field),
        None => Err(Failure::Usage(format!(
            "-r {range}: needs '0-499', '500-', '-500', or a list of such"
        ))),
    }
}

/// The client of the command line.
pub(crate) fn client(args: &Args, observers: Vec<ObserverRef>) -> Result<Client, Failure> {
    let mut overrides = Overrides::new();
    for text in &args.resolve {
        overrides
            .parse(text)
            .map_err(|error| Failure::Usage(format!("--resolve {text}: {error}")))?;
    }
    let mut builder = Client::builder()
        .overrides(overrides)
        .redirects(redirects(args))
        .address_family(family(args))
        .dial_profile(profile(args))
        .tcp_keep_alive(probes(args))
        .tls(tls::config(args)?)
        .proxy_tls(tls::of_proxies(args)?)
        .redaction(redaction(args))
        .timeouts(|timeouts| {
            timeouts.total = args.max_time.filter(|limit| !limit.is_zero());
            if let Some(limit) = args.connect_timeout.filter(|limit| !limit.is_zero()) {
                timeouts.connect = Some(limit);
                timeouts.lookup = Some(limit);
                timeouts.tls = Some(limit);
            }
            timeouts.expect = args.expect100_timeout.unwrap_or(timeouts.expect);
        });
    for text in &args.connect_to {
        let (from, to) = connect_to::read(text)
            .ok_or_else(|| Failure::Usage(format!("--connect-to {text}: {}", connect_to::FORM)))?;
        builder = builder.connect_to(from.host, from.port, to.host, to.port)?;
    }
    builder = proxy::apply(args, builder)?;
    if let Some(name) = &args.interface {
        builder = interface::bind(builder, name, family(args))?;
    }
    if let Some(path) = unix_socket(args) {
        builder = builder.unix_socket(path)?;
    }
    match args.at_once.map(usize::from) {
        Some(most) => {
            builder = builder
                .max_connections_per_origin(most)
                .max_connections(most)
                .max_idle_per_origin(most)
                .max_idle(most);
        }
        None if args.verbose => builder = builder.observe(ObserverRef::new(Verbose::default())),
        None => {}
    }
    for observer in observers {
        builder = builder.observe(observer);
    }
    Ok(builder.build()?)
}

/// What may be shown.
pub(crate) fn redaction(args: &Args) -> Redaction {
    if args.reveal_secrets {
        Redaction::reveal_secrets()
    } else {
        Redaction::default()
    }
}

fn family(args: &Args) -> Option<Family> {
    match (args.ipv4, args.ipv6) {
        (true, _) => Some(Family::V4),
        (false, true) => Some(Family::V6),
        (false, false) => None,
    }
}

fn profile(args: &Args) -> DialProfile {
    match args.happy_eyeballs {
        None | Some(RaceForm::Fast) => DialProfile::Fast,
        Some(RaceForm::Rfc8305) => DialProfile::Rfc8305,
    }
}

/// The path of the unix socket; an abstract name stands behind a NUL.
fn unix_socket(args: &Args) -> Option<PathBuf> {
    let name = args.abstract_unix_socket.as_deref();
    let path = args.unix_socket.clone();
    path.or_else(|| Some(PathBuf::from(format!("\0{}", name?))))
}

/// As curl has it: the first probe after that time, and one more each time that it has passed.
fn probes(args: &Args) -> Option<TcpKeepAlive> {
    let time = args.keepalive_time.filter(|time| !time.is_zero())?;
    Some(TcpKeepAlive::new().idle(time).interval(time))
}

/// As curl has it: none without `-L`; with it at most 20, and from https to http too.
fn redirects(args: &Args) -> RedirectPolicy {
    if !args.location {
        return RedirectPolicy::none();
    }
    let policy = RedirectPolicy::new().allow_downgrade(true);
    match args.max_redirs {
        None => policy,
        Some(most) => policy.max(u16::try_from(most).unwrap_or(u16::MAX)),
    }
}
