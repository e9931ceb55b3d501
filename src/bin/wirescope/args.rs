//! The command line. Flags that curl has keep curl's name and meaning.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, ValueEnum};

use crate::body::DataPart;

const EXAMPLES: &str = "\
Examples:
  wirescope https://example.com/                        waterfall and notes
  wirescope -d a=1 -d @more.txt http://localhost:8080/  POST a form
  wirescope -o page.html -i URL                         keep head and body
  wirescope --events ndjson URL | jq .event             events for programs
  wirescope --repeat 20 --interval 0.1 URL              min, percentiles, max per phase
  wirescope -Z 50 --url-file urls.txt                   50 calls at a time, then a summary

The body is read and thrown away unless -o is given. Waterfall and notes go to standard error
when body, head, events or timings go to standard output. In a file of URLs, lines that are blank
or begin with '#' are skipped. With -Z, -v draws each call and -s leaves only the summary.
Exit: 0 well, 1 unsupported (or a scene of --demo failed), 2 usage, 3 bad URL, 5 lookup of a proxy,
6 lookup, 7 connect, 22 -f, 23 write, 26 read, 28 timeout, 35 TLS, 45 --interface, 47 redirects,
52 empty reply, 55 send, 56 receive or no tunnel, 58 --cert, 60 certificate, 77 --cacert, 97 SOCKS;
with several URLs that of the last one that failed.";

/// Fetch URLs over one pool of connections and draw what happened.
#[derive(Debug, Parser)]
#[command(name = "wirescope", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(override_usage = "wirescope [OPTIONS] URL...\n       wirescope --demo")]
pub(crate) struct Args {
    /// What to fetch, in order; without a scheme it is http
    #[arg(
        value_name = "URL",
        required_unless_present_any = ["demo", "url_file"],
        conflicts_with = "demo"
    )]
    pub(crate) urls: Vec<String>,
    /// Trace a tour of an embedded server, offline
    #[arg(long)]
    pub(crate) demo: bool,
    /// More URLs, a line each; '-' is standard input
    #[arg(long, value_name = "FILE", conflicts_with = "demo")]
    pub(crate) url_file: Option<PathBuf>,

    /// Method
    #[arg(
        short = 'X',
        long = "request",
        value_name = "METHOD",
        help_heading = "Request"
    )]
    pub(crate) method: Option<String>,
    /// Field 'Name: value'; 'Name;' sends it empty, 'Name:' not at all
    #[arg(
        short = 'H',
        long = "header",
        value_name = "LINE",
        help_heading = "Request"
    )]
    pub(crate) headers: Vec<String>,
    /// Form content, joined by '&'; @FILE without line ends
    #[arg(
        short = 'd',
        long = "data",
        value_name = "TEXT|@FILE",
        help_heading = "Request"
    )]
    data: Vec<String>,
    /// Content as it is, else like -d
    #[arg(
        long = "data-binary",
        value_name = "TEXT|@FILE",
        help_heading = "Request"
    )]
    data_binary: Vec<String>,
    /// PUT a file; '-' streams standard input, chunked
    #[arg(short = 'T', long = "upload-file", value_name = "FILE", help_heading = "Request",
        conflicts_with_all = ["data", "data_binary", "head"])]
    pub(crate) upload: Option<PathBuf>,
    /// HEAD; prints the fields
    #[arg(short = 'I', long = "head", help_heading = "Request", conflicts_with_all = ["data", "data_binary"])]
    pub(crate) head: bool,
    /// Basic credentials
    #[arg(
        short = 'u',
        long = "user",
        value_name = "USER:PASSWORD",
        help_heading = "Request"
    )]
    pub(crate) user: Option<String>,
    /// Bytes '0-499', '500-', '-500', or a list of such
    #[arg(
        short = 'r',
        long,
        value_name = "RANGE",
        allow_hyphen_values = true,
        help_heading = "Request"
    )]
    pub(crate) range: Option<String>,

    /// Follow redirects
    #[arg(short = 'L', long, help_heading = "Request")]
    pub(crate) location: bool,
    /// Most redirects of one call; -1 is without end [default: 20]
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        help_heading = "Request"
    )]
    pub(crate) max_redirs: Option<i64>,

    /// Accept any certificate, but not of a proxy
    #[arg(short = 'k', long, help_heading = "Connection")]
    pub(crate) insecure: bool,
    /// Trust the certificates of this file alone
    #[arg(long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) cacert: Option<PathBuf>,
    /// Our certificate, for servers that ask for one
    #[arg(short = 'E', long, value_name = "FILE", help_heading = "Connection")]
    pub(crate) cert: Option<String>,
    /// Its private key, not encrypted [default: the file of --cert]
    #[arg(
        long,
        value_name = "FILE",
        requires = "cert",
        help_heading = "Connection"
    )]
    pub(crate) key: Option<PathBuf>,
    /// TLS 1.2 or above, as without it
    #[arg(
        long = "tlsv1.2",
        overrides_with = "tls_1_3",
        help_heading = "Connection"
    )]
    pub(crate) tls_1_2: bool,
    /// TLS 1.3 or above
    #[arg(
        long = "tlsv1.3",
        overrides_with = "tls_1_2",
        help_heading = "Connection"
    )]
    pub(crate) tls_1_3: bool,
    /// Addresses instead of a lookup
    #[arg(long, value_name = "HOST:PORT:ADDR", help_heading = "Connection")]
    pub(crate) resolve: Vec<String>,
    /// HOST1:PORT1:HOST2:PORT2 connects elsewhere; empty is any
    #[arg(long, value_name = "H:P:H:P", help_heading = "Connection")]
    pub(crate) connect_to: Vec<String>,
    /// Leave by this interface, or from this address
    #[arg(long, value_name = "NAME|ADDR", help_heading = "Connection")]
    pub(crate) interface: Option<String>,
    /// Connect to this unix socket, whatever the host
    #[arg(long, value_name = "PATH", help_heading = "Connection")]
    pub(crate) unix_socket: Option<PathBuf>,
    /// As --unix-socket, to an abstract name
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "unix_socket",
        help_heading = "Connection"
    )]
    pub(crate) abstract_unix_socket: Option<String>,
    /// Probe quiet connections every so many seconds
    #[arg(long, value_name = "SECS", value_parser = seconds, help_heading = "Connection")]
    pub(crate) keepalive_time: Option<Duration>,
    /// IPv4 addresses only
    #[arg(
        short = '4',
        long,
        conflicts_with = "ipv6",
        help_heading = "Connection"
    )]
    pub(crate) ipv4: bool,
    /// IPv6 addresses only
    #[arg(short = '6', long, help_heading = "Connection")]
    pub(crate) ipv6: bool,
    /// Through [http|https|socks5|socks5h://]host[:1080]; '' is none
    #[arg(short = 'x', long, value_name = "PROXY", help_heading = "Connection")]
    pub(crate) proxy: Option<String>,
    /// Credentials for the proxy, of the environment too
    #[arg(
        short = 'U',
        long,
        value_name = "USER:PASSWORD",
        help_heading = "Connection"
    )]
    pub(crate) proxy_user: Option<String>,
    /// Field for the proxy, as -H; of http URLs it may go on
    #[arg(
        long = "proxy-header",
        value_name = "LINE",
        help_heading = "Connection"
    )]
    pub(crate) proxy_headers: Vec<String>,
    /// Hosts that need no proxy, '*' for all [default: $no_proxy]
    #[arg(long, value_name = "LIST", help_heading = "Connection")]
    pub(crate) noproxy: Option<String>,
    /// How the addresses of a host are raced [default: fast]
    #[arg(
        long,
        value_name = "fast|rfc8305",
        hide_possible_values = true,
        help_heading = "Connection"
    )]
    pub(crate) happy_eyeballs: Option<RaceForm>,
    /// Limit for lookup, connect and TLS [default: 10]
    #[arg(long, value_name = "SECS", value_parser = seconds, help_heading = "Connection")]
    pub(crate) connect_timeout: Option<Duration>,
    /// Limit for a whole call
    #[arg(short = 'm', long, value_name = "SECS", value_parser = seconds, help_heading = "Connection")]
    pub(crate) max_time: Option<Duration>,
    /// Limit for a wait after 'Expect: 100-continue' [default: 1]
    #[arg(long, value_name = "SECS", value_parser = seconds, help_heading = "Connection")]
    pub(crate) expect100_timeout: Option<Duration>,

    /// Try again so often after a timeout, 408, 429, 500, 502, 503, 504: after 1 s, 2 s, 4 s...
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        hide_default_value = true,
        help_heading = "Connection"
    )]
    pub(crate) retry: u32,

    /// Write the body here, '-' to standard output; once per URL
    #[arg(short = 'o', long, value_name = "FILE", help_heading = "Output")]
    pub(crate) output: Vec<PathBuf>,
    /// Write the response head too
    #[arg(short = 'i', long, help_heading = "Output")]
    pub(crate) include: bool,
    /// Show the wire on standard error: '>' sent, '<' received
    #[arg(short = 'v', long, help_heading = "Output")]
    pub(crate) verbose: bool,
    /// Draw nothing and say nothing of errors
    #[arg(short = 's', long, help_heading = "Output")]
    pub(crate) silent: bool,
    /// Exit with 22 and write no body for a status of 400 or above
    #[arg(short = 'f', long, help_heading = "Output")]
    pub(crate) fail: bool,
    /// Every event on a line, as it happens [default: off]
    #[arg(
        long,
        value_name = "text|ndjson|off",
        hide_possible_values = true,
        help_heading = "Output"
    )]
    pub(crate) events: Option<EventsForm>,
    /// Write events here, as NDJSON unless --events says text
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub(crate) events_file: Option<PathBuf>,
    /// Where the time went
    #[arg(
        long,
        value_name = "table|json|flat",
        hide_possible_values = true,
        help_heading = "Output"
    )]
    pub(crate) timings: Option<TimingsForm>,
    /// Show credentials, cookies and tokens
    #[arg(long, help_heading = "Output")]
    pub(crate) reveal_secrets: bool,
    /// Colours [default: auto]
    #[arg(
        long,
        value_name = "auto|always|never",
        hide_possible_values = true,
        hide_default_value = true,
        default_value = "auto",
        help_heading = "Output"
    )]
    pub(crate) color: ColorWhen,

    /// Fetch each URL so often; then how each phase spread
    #[arg(long, value_name = "N", default_value_t = 1, hide_default_value = true,
        value_parser = clap::value_parser!(u32).range(1..), help_heading = "Repetition")]
    pub(crate) repeat: u32,
    /// Pause between URLs and repeats; with -Z between their beginnings
    #[arg(long, value_name = "SECS", value_parser = seconds, help_heading = "Repetition")]
    pub(crate) interval: Option<Duration>,

    /// So many calls at a time, 1 to 10000: a line for each, then a summary
    #[arg(short = 'Z', value_name = "N", conflicts_with = "demo", help_heading = "Repetition",
        value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub(crate) at_once: Option<u16>,

    /// `-d` and `--data-binary` in the order of the command line.
    #[arg(skip)]
    pub(crate) content: Vec<DataPart>,
}

/// The form of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EventsForm {
    Text,
    Ndjson,
    Off,
}

/// How addresses are raced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum RaceForm {
    Fast,
    Rfc8305,
}

/// The form of timings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimingsForm {
    Table,
    Json,
    Flat,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    Auto,
    Always,
    Never,
}

impl Args {
    /// Reads the command line of this process.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        Self::of(Self::command().try_get_matches()?)
    }

    fn of(matches: ArgMatches) -> Result<Self, clap::Error> {
        let mut args = Self::from_arg_matches(&matches)?;
        args.content = content(&matches);
        args.check()?;
        Ok(args)
    }

    /// What one option contradicts in another.
    fn check(&self) -> Result<(), clap::Error> {
        let is_several = self.urls.len() > 1 || self.url_file.is_some();
        if is_stdin(self.upload.as_deref()) && (self.repeat > 1 || self.retry > 0 || is_several) {
            return Err(Self::conflict(
                "-T - can be sent once only: not with --repeat or --retry, not with several URLs",
            ));
        }
        if self.types_urls() && self.content.iter().any(DataPart::is_stdin) {
            return Err(Self::conflict(
                "--url-file - and -d @- cannot both read standard input",
            ));
        }
        Ok(())
    }

    fn conflict(text: &str) -> clap::Error {
        Self::command().error(clap::error::ErrorKind::ArgumentConflict, text)
    }

    /// Says whether standard output is taken, so that drawings go to standard error.
    pub(crate) fn uses_stdout(&self) -> bool {
        self.output.iter().any(|file| file.as_os_str() == "-")
            || self.timings.is_some()
            || self.prints_events()
            || ((self.include || self.head)
                && (self.output.len() < self.urls.len() || self.url_file.is_some()))
    }

    /// Says whether URLs come from standard input.
    pub(crate) fn types_urls(&self) -> bool {
        is_stdin(self.url_file.as_deref())
    }

    /// Says whether events go to standard output.
    pub(crate) fn prints_events(&self) -> bool {
        let file = self.events_file.as_deref();
        self.events_form().is_some() && file.is_none_or(|file| file.as_os_str() == "-")
    }

    /// The form in which events are written, if they are.
    pub(crate) fn events_form(&self) -> Option<EventsForm> {
        match (self.events, &self.events_file) {
            (Some(EventsForm::Off), _) | (None, None) => None,
            (Some(form), _) => Some(form),
            (None, Some(_)) => Some(EventsForm::Ndjson),
        }
    }
}

fn is_stdin(file: Option<&Path>) -> bool {
    file.is_some_and(|file| file.as_os_str() == "-")
}

/// The content options in the order of the command line.
fn content(matches: &ArgMatches) -> Vec<DataPart> {
    let mut parts = Vec::new();
    for (id, is_binary) in [("data", false), ("data_binary", true)] {
        if matches.value_source(id) != Some(ValueSource::CommandLine) {
            continue;
        }
        let indices = matches.indices_of(id).into_iter().flatten();
        let texts = matches.get_many::<String>(id).into_iter().flatten();
        parts.extend(
            indices
                .zip(texts)
                .map(|(index, text)| (index, DataPart::new(text, is_binary))),
        );
    }
    parts.sort_by_key(|(index, _)| *index);
    parts.into_iter().map(|(_, part)| part).collect()
}

/// Seconds with a fraction.
fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text
        .parse()
        .map_err(|_| "not a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(line: &str) -> Args {
        let words = std::iter::once("wirescope").chain(line.split(' '));
        Args::of(Args::command().try_get_matches_from(words).unwrap()).unwrap()
    }

    #[test]
    fn the_command_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn content_keeps_the_order_of_the_command_line() {
        let parts = args("-d a --data-binary b -d c u").content;
        assert_eq!(
            parts,
            [
                DataPart::new("a", false),
                DataPart::new("b", true),
                DataPart::new("c", false)
            ]
        );
    }

    #[test]
    fn drawings_leave_standard_output_to_data() {
        let check =
            |line: &str, expected: bool| assert_eq!(args(line).uses_stdout(), expected, "{line}");
        check("u", false);
        check("-o f u", false);
        check("-o - u", true);
        check("-i u", true);
        check("-i -o f u", false);
        check("-I u", true);
        check("--events ndjson u", true);
        check("--events ndjson --events-file f u", false);
        check("--events off u", false);
        check("--timings flat u", true);
    }

    /// Lines of the help. Each flag has one, so that who looks for a flag finds it in one pass: this bound is reached,
    /// and whoever adds a flag, or lets a text of one run over its line, raises it knowingly.
    const HELP_LINES_MAX: usize = 84;

    #[test]
    fn the_help_has_a_line_for_each_flag() {
        let help = Args::command().term_width(100).render_help().to_string();
        let lines = help.lines().count();
        assert!(lines <= HELP_LINES_MAX, "{lines} lines");
    }
}
