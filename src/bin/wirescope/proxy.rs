//! `-x`, `-U`, `--proxy-header` and `--noproxy`, as curl reads them.

use wirescope::{ClientBuilder, NoProxy, Proxy, ProxyScheme};

use crate::args::Args;
use crate::exit::Failure;
use crate::fields::FieldLines;

/// The port of a proxy for which `-x` says none, unless it speaks TLS.
const PORT: u16 = 1080;

/// Gives a client its proxies.
pub(crate) fn apply(args: &Args, builder: ClientBuilder) -> Result<ClientBuilder, Failure> {
    let gets = Gets::read(args)?;
    let exempt = args.noproxy.clone();
    let Some(text) = &args.proxy else {
        let builder = builder.proxy_of_environment(move |proxy| gets.give(proxy));
        return Ok(match exempt {
            Some(list) => builder.no_proxy(NoProxy::parse(&list)),
            None => builder,
        });
    };
    if text.is_empty() {
        return Ok(builder.proxy(None));
    }
    let list = exempt.or_else(of_environment).unwrap_or_default();
    let proxy = gets.give(Proxy::parse(&with_port(text))?)?;
    Ok(builder.proxy(proxy).no_proxy(NoProxy::parse(&list)))
}

/// What every proxy gets, wherever it is named.
struct Gets {
    user: Option<String>,
    fields: FieldLines,
}

impl Gets {
    fn read(args: &Args) -> Result<Self, Failure> {
        Ok(Self {
            user: args.proxy_user.clone(),
            fields: FieldLines::read(&args.proxy_headers)?,
        })
    }

    fn give(&self, mut proxy: Proxy) -> Result<Proxy, wirescope::Error> {
        // As in curl, those of the URL come first.
        let user = self.user.as_ref();
        if let Some(user) = user.filter(|_| !proxy.has_credentials()) {
            let (user, password) = user.split_once(':').unwrap_or((user, ""));
            proxy = proxy.with_credentials(user, password)?;
        }
        self.fields.apply_to_proxy(proxy)
    }
}

/// The proxy with the port that curl takes where there is none. What cannot be read stays, for its reader to say why.
fn with_port(text: &str) -> String {
    let end = text.strip_suffix('/').unwrap_or(text);
    let is_open = |proxy: &Proxy| proxy.scheme() == ProxyScheme::Http;
    // A port of its own and the given one cannot both be read.
    match Proxy::parse(text) {
        Ok(proxy) if is_open(&proxy) && Proxy::parse(&format!("{end}:1")).is_ok() => {
            format!("{end}:{PORT}")
        }
        Ok(_) | Err(_) => text.to_owned(),
    }
}

/// The hosts that need no proxy, of a proxy of the command line too.
#[expect(
    clippy::disallowed_methods,
    reason = "the library reads the environment for proxies of the environment alone"
)]
fn of_environment() -> Option<String> {
    let filled = |name| std::env::var(name).ok().filter(|list| !list.is_empty());
    filled("no_proxy").or_else(|| filled("NO_PROXY"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_port_is_1080_where_none_is_given() {
        let table = [
            ("proxy", "proxy:1080"),
            ("proxy/", "proxy:1080"),
            ("http://proxy", "http://proxy:1080"),
            ("http://u:p@proxy", "http://u:p@proxy:1080"),
            ("[::1]", "[::1]:1080"),
            ("http://[::1]/", "http://[::1]:1080"),
            ("proxy:80", "proxy:80"),
            ("http://u:p@proxy:80/", "http://u:p@proxy:80/"),
            ("https://proxy", "https://proxy"),
            ("socks5://proxy", "socks5://proxy"),
            ("ftp://proxy", "ftp://proxy"),
            ("::1", "::1"),
        ];
        for (text, expected) in table {
            assert_eq!(with_port(text), expected, "{text}");
        }
    }
}
