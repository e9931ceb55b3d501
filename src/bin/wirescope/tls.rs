//! TLS on the command line: whom to trust, who to be, and what `-v` tells of a handshake, in curl's words.

use std::path::PathBuf;

use wirescope::TlsConfig;
use wirescope::event::{TlsHandshakeDone, TlsRole};
use wirescope::message::tls::{CertificateFacts, TlsFacts, TlsVersion};

use crate::args::Args;
use crate::exit::Failure;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const DAY_SECONDS: i64 = 86_400;

/// What the options say about proxies: as in curl, neither `-k` nor `--cert` is for them.
pub(crate) fn of_proxies(args: &Args) -> Result<TlsConfig, Failure> {
    match &args.cacert {
        None => Ok(TlsConfig::new()),
        Some(file) => TlsConfig::new()
            .builtin_roots(false)
            .add_ca_file(file)
            .map_err(Failure::CaFile),
    }
}

/// What the options say about origins.
pub(crate) fn config(args: &Args) -> Result<TlsConfig, Failure> {
    let mut tls = of_proxies(args)?
        .danger_accept_invalid_certs(args.insecure)
        .min_version(lowest(args));
    if let Some(text) = &args.cert {
        let cert = certificate_file(text)?;
        let key = args.key.as_ref().unwrap_or(&cert);
        tls = tls
            .client_certificate_files(&cert, key)
            .map_err(Failure::Identity)?;
    }
    Ok(tls)
}

/// Of two options the later one counts, and clap has taken the other back.
fn lowest(args: &Args) -> TlsVersion {
    match (args.tls_1_2, args.tls_1_3) {
        (_, true) => TlsVersion::V1_3,
        (_, false) => TlsVersion::V1_2,
    }
}

/// The file of `--cert FILE[:PASSWORD]`, in which `\:` and `\\` stand for themselves. A password is refused: it would
/// be in the list of processes, and keys are not decrypted here.
fn certificate_file(text: &str) -> Result<PathBuf, Failure> {
    let mut file = String::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match (letter, letters.peek()) {
            ('\\', Some(':' | '\\')) => file.extend(letters.next()),
            (':', _) => {
                let text = "--cert: a password is not supported; decrypt the key, or write '\\:' for \
                            a colon in the name";
                return Err(Failure::Unsupported(text.to_owned()));
            }
            _ => file.push(letter),
        }
    }
    Ok(file.into())
}

/// What `-v` tells of a handshake that ended: a line each.
pub(crate) fn told(done: &TlsHandshakeDone) -> Option<String> {
    match (done.facts(), done.error()) {
        (Some(facts), _) => Some(agreed(facts, done.to())),
        (None, Some(error)) => Some(error.message().to_owned()),
        (None, None) => None,
    }
}

fn agreed(facts: &TlsFacts, peer: TlsRole) -> String {
    let (name, title) = match peer {
        TlsRole::Proxy => ("proxy", "Proxy"),
        _ => ("server", "Server"),
    };
    let group = facts.key_exchange().map(|group| format!(" / {group}"));
    let mut lines = vec![
        format!(
            "SSL connection using {} / {}{}, {} handshake",
            facts.version(),
            facts.cipher_suite(),
            group.unwrap_or_default(),
            facts.handshake().tag().replace('_', " "),
        ),
        match facts.alpn() {
            Some(protocol) => format!("ALPN: {name} accepted {protocol}"),
            None => format!("ALPN: {name} did not agree on a protocol"),
        },
    ];
    if let Some(own) = facts.certificates().first() {
        lines.push(format!("{title} certificate:"));
        lines.extend(certificate(own));
    }
    lines.join("\n* ")
}

fn certificate(own: &CertificateFacts) -> Vec<String> {
    let date = |at: Option<i64>| at.map_or_else(|| "unknown".to_owned(), date);
    vec![
        format!(" subject: {}", own.subject()),
        format!(" start date: {}", date(own.not_before())),
        format!(" expire date: {}", date(own.not_after())),
        format!(" issuer: {}", own.issuer()),
    ]
}

/// As curl writes it: `Nov  6 08:49:37 1994 GMT`.
fn date(at: i64) -> String {
    let (year, month, day) = civil(at.div_euclid(DAY_SECONDS));
    let of_day = at.rem_euclid(DAY_SECONDS);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{month} {day:2} {hour:02}:{minute:02}:{second:02} {year} GMT")
}

/// Year, month and day of a day since the beginning of 1970. Years begin in March, so that the leap day is last.
fn civil(days: i64) -> (i64, &'static str, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let of_year = of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096;
    let year = of_year / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * march + 2) / 5 + 1;
    let month = (march + 2) % 12;
    let name = MONTHS.iter().zip(0..).find(|(_, number)| *number == month);
    let year = era * 400 + year + i64::from(month < 2);
    (year, name.map_or("?", |(name, _)| name), day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        let check = |at, expected: &str| assert_eq!(date(at), expected, "{at}");
        check(0, "Jan  1 00:00:00 1970 GMT");
        check(784_111_777, "Nov  6 08:49:37 1994 GMT");
        check(951_825_600, "Feb 29 12:00:00 2000 GMT");
        check(951_868_800, "Mar  1 00:00:00 2000 GMT");
        check(-1, "Dec 31 23:59:59 1969 GMT");
        check(253_402_300_799, "Dec 31 23:59:59 9999 GMT");
        check(-62_167_219_200, "Jan  1 00:00:00 0 GMT");
    }

    #[test]
    fn the_file_of_a_certificate() {
        let check = |text: &str, expected: Option<&str>| {
            let file = certificate_file(text).ok();
            assert_eq!(file, expected.map(PathBuf::from), "{text}");
        };
        check("own.pem", Some("own.pem"));
        check(r"a\:b.pem", Some("a:b.pem"));
        check(r"a\\b\c", Some(r"a\b\c"));
        check("own.pem:secret", None);
        check("own.pem:", None);
    }
}
