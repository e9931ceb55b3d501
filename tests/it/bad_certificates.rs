//! Certificates that prove nothing, each refused for its own reason, and good ones beside them.
//!
//! The table is met by each way to a peer and through both doors: whatever the bytes travel on, the same verifier
//! judges them, before a byte of the request leaves.

#[path = "bad_certificates/pki.rs"]
mod pki;

use std::net::Ipv4Addr;
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    NameConstraints, date_time_ymd,
};
use wirescope::error::TlsFailure::{self, *};
use wirescope::event::EventKind;
use wirescope::message::tls::TlsVersion;
use wirescope::resolver::from_fn;
use wirescope::testkit::peer::TlsVersions;
use wirescope::testkit::{Peer, PeerBuilder, Relay, RelayBuilder, Script, ServerIdentity};
use wirescope::{Error, ErrorKind, EventLoop, Phase, Proxy, Request, TlsConfig};

use crate::harness::{Lab, ok, serve};
use pki::{ALTERNATIVE_NAMES, Ca, Leaf, UNKNOWN, extension, self_signed};

const HOST: &str = "peer.example";

/// The way to a peer.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Nobody between.
    Direct,
    /// Through a tunnel of an http proxy.
    Connect,
    /// Through a SOCKS proxy.
    Socks,
    /// Through a tunnel of a proxy over TLS, whose own certificate is good: TLS inside TLS.
    TlsProxy,
    /// It is a proxy itself, which answers for an origin.
    Proxy,
}

const WAYS: &[Way] = &[
    Way::Direct,
    Way::Connect,
    Way::Socks,
    Way::TlsProxy,
    Way::Proxy,
];

/// A peer, a client before it, and what stands between for as long as the peer is needed.
struct Met {
    lab: Lab,
    url: String,
    _between: Option<Relay>,
}

impl Way {
    /// Puts a peer behind this way, and a client before it.
    fn to(self, peer: PeerBuilder, host: &str, tls: TlsConfig) -> Met {
        let localhost = from_fn(|_| Ok(vec![Ipv4Addr::LOCALHOST.into()]));
        let peer = peer.host(host).start().unwrap();
        let (host, port) = (host.to_ascii_lowercase(), peer.addr().port());
        let lead = |relay: RelayBuilder| relay.lead(&host, port, peer.addr()).start().unwrap();
        let relay = match self {
            Self::Direct | Self::Proxy => None,
            Self::Connect => Some(lead(Relay::http())),
            Self::Socks => Some(lead(Relay::socks5())),
            Self::TlsProxy => {
                let good = root().leaf(&["ip:127.0.0.1"], |_| {}).with(&[]);
                Some(lead(Relay::https(good)))
            }
        };
        let (url, proxy) = match self {
            Self::Proxy => {
                let proxy = Proxy::parse(&peer.https_url("")).unwrap();
                ("http://origin.example/".to_owned(), Some(proxy))
            }
            Self::Direct | Self::Connect | Self::Socks | Self::TlsProxy => {
                let proxy = relay.as_ref().map(|relay| relay.proxy().unwrap());
                (peer.https_url("/"), proxy)
            }
        };
        let lab = Lab::of(peer, |client| {
            let client = client.resolver(localhost).proxy(proxy);
            match self {
                // The settings of a case are for the peer of the case.
                Self::TlsProxy => client.tls(tls).proxy_tls(root().trusted()),
                Self::Direct | Self::Connect | Self::Socks | Self::Proxy => client.tls(tls),
            }
        });
        let _between = relay;
        Met { lab, url, _between }
    }

    /// Who the peer is to the client.
    fn role(self) -> &'static str {
        match self {
            Self::Direct | Self::Connect | Self::Socks | Self::TlsProxy => "origin",
            Self::Proxy => "proxy",
        }
    }
}

/// How a call is made.
#[derive(Debug, Clone, Copy)]
enum Door {
    Client,
    EventLoop,
}

impl Door {
    fn call(self, lab: &Lab, request: Request) -> Result<u16, Error> {
        match self {
            Self::Client => Ok(request.send()?.status()),
            Self::EventLoop => {
                let mut event_loop = EventLoop::new(&lab.client).unwrap();
                event_loop.submit(request).unwrap();
                let done = event_loop.next().unwrap().unwrap();
                Ok(done.into_result()?.status().unwrap())
            }
        }
    }
}

/// One peer, and what is to be thought of it.
#[derive(Clone)]
struct Case {
    what: &'static str,
    /// Host of the URL.
    host: &'static str,
    peer: PeerBuilder,
    tls: TlsConfig,
    /// The reason for which it is refused, and a part of the text behind it.
    refused: Option<(TlsFailure, &'static str)>,
}

impl Case {
    fn new(what: &'static str, host: &'static str, shown: ServerIdentity) -> Self {
        Self {
            what,
            host,
            peer: Peer::builder().tls(shown).script(serve(ok("x"))),
            tls: root().trusted(),
            refused: None,
        }
    }

    fn refused(mut self, failure: TlsFailure, text: &'static str) -> Self {
        self.refused = Some((failure, text));
        self
    }

    fn peer(mut self, change: impl FnOnce(PeerBuilder) -> PeerBuilder) -> Self {
        self.peer = change(self.peer);
        self
    }

    fn tls(mut self, change: impl FnOnce(TlsConfig) -> TlsConfig) -> Self {
        self.tls = change(self.tls);
        self
    }

    /// Says what is wrong with the judgement, if anything is.
    fn judge(self, way: Way, door: Door) -> Option<String> {
        let Met { lab, url, _between } = way.to(self.peer, self.host, self.tls);
        let request = lab.client.get(&url).unwrap();
        let request = request.header("X-Secret", "s").unwrap();
        let found = door.call(&lab, request);
        let requests = lab.peer.request_count();
        let seen = lab.finish_unfollowed();
        let handshakes = seen.matching(&format!("tls_handshake_done to={}", way.role()));
        let is_right = match (&found, self.refused) {
            (Ok(200), None) => requests == 1,
            (Err(error), Some((failure, text))) => {
                seen.none(EventKind::GotConn);
                seen.assert_sequence([
                    &format!("tls_handshake_start to={}", way.role()),
                    &format!("tls_handshake_done to={}", way.role()),
                    "get_conn_failed kind=tls",
                    "call_done kind=tls",
                ]);
                let typed = (error.kind(), error.phase()) == (ErrorKind::Tls(failure), Phase::Tls);
                typed && requests == 0 && told(error).contains(text)
            }
            _ => false,
        };
        let found = found.map_err(|error| (error.tls_failure(), told(&error)));
        (!is_right || handshakes.len() != 1).then(|| {
            format!(
                "{way:?} {door:?} {}: {found:?} after {requests} requests",
                self.what
            )
        })
    }
}

/// The error below the error.
fn told(error: &Error) -> String {
    std::error::Error::source(error).map_or_else(String::new, ToString::to_string)
}

/// The only authority that is trusted; making one costs time.
fn root() -> &'static Ca {
    static ROOT: OnceLock<Ca> = OnceLock::new();
    ROOT.get_or_init(|| Ca::root("root of the test"))
}

fn leaf(names: &[&str]) -> Leaf {
    root().leaf(names, |_| {})
}

fn changed(change: impl FnOnce(&mut CertificateParams)) -> ServerIdentity {
    root().leaf(&[HOST], change).with(&[])
}

/// A certificate for the host, issued by an authority below the trusted one.
fn below(change: impl FnOnce(&mut CertificateParams)) -> ServerIdentity {
    let sub = root().sub("authority between", change);
    sub.leaf(&[HOST], |_| {}).with(&[&sub])
}

fn limited(permitted: &[&str], excluded: &[&str]) -> NameConstraints {
    let subtrees = |names: &[&str]| {
        let subtree = |name: &&str| match *name {
            "127/8" => GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix([127, 0, 0, 0], 8)),
            name => GeneralSubtree::DnsName(name.to_owned()),
        };
        names.iter().map(subtree).collect()
    };
    NameConstraints {
        permitted_subtrees: subtrees(permitted),
        excluded_subtrees: subtrees(excluded),
    }
}

fn names() -> Vec<Case> {
    let refused = |what, host, names: &[&str]| {
        Case::new(what, host, leaf(names).with(&[])).refused(NameMismatch, "not valid for")
    };
    let a_label = "xn--mller-kva.peer.example";
    vec![
        refused("another name", HOST, &["other.example"]),
        refused("the parent's name", "a.peer.example", &[HOST]),
        refused(
            "a name that begins alike",
            HOST,
            &["peer.example.evil.test"],
        ),
        refused("a name that ends alike", HOST, &["evilpeer.example"]),
        refused("an address as a dns name", "127.0.0.1", &["127.0.0.1"]),
        refused("a name for an address", "127.0.0.1", &["localhost"]),
        refused("another address", "127.0.0.1", &["ip:127.0.0.2"]),
        refused(
            "an address mapped to ipv6",
            "127.0.0.1",
            &["ip:::ffff:127.0.0.1"],
        ),
        refused("an address for a name", HOST, &["ip:127.0.0.1"]),
        refused("a mailbox", HOST, &["mail:me@peer.example"]),
        refused("a uri", HOST, &["uri:https://peer.example/"]),
        refused(
            "a wildcard of two labels",
            "a.b.peer.example",
            &["*.peer.example"],
        ),
        refused("a wildcard of no label", HOST, &["*.peer.example"]),
        refused(
            "a wildcard in the middle",
            "a.b.peer.example",
            &["a.*.peer.example"],
        ),
        refused("a wildcard at the end", HOST, &["peer.*"]),
        refused(
            "a wildcard behind letters",
            "ab.peer.example",
            &["a*.peer.example"],
        ),
        refused(
            "a wildcard before letters",
            "ab.peer.example",
            &["*b.peer.example"],
        ),
        refused("two wildcards", "a.b.peer.example", &["*.*.peer.example"]),
        refused("a wildcard for an address", "127.0.0.1", &["*.0.0.1"]),
        refused("a wildcard alone", "intranet", &["*"]),
        refused("a wildcard for a whole top level", HOST, &["*.example"]),
        refused(
            "a wildcard in an a-label",
            a_label,
            &["xn--m*.peer.example"],
        ),
        refused("a name with a trailing dot", HOST, &["peer.example."]),
        refused(
            "a name with a nul behind it",
            HOST,
            &["peer.example\0.evil.test"],
        ),
        refused("a name with a nul at its end", HOST, &["peer.example\0"]),
        refused("a name with a space", HOST, &[" peer.example"]),
        refused("an empty name", HOST, &[""]),
        Case::new("a common name alone", HOST, {
            let name = |params: &mut CertificateParams| {
                params.distinguished_name = rcgen::DistinguishedName::new();
                let common = rcgen::DnType::CommonName;
                params.distinguished_name.push(common, HOST);
            };
            root().leaf(&[], name).with(&[])
        })
        .refused(NameMismatch, "not valid for"),
        Case::new("no name at all", HOST, leaf(&[]).with(&[]))
            .refused(NameMismatch, "not valid for"),
        Case::new("an empty list of names", HOST, {
            let empty = extension(ALTERNATIVE_NAMES, &[0x30, 0], false);
            let empty = |params: &mut CertificateParams| params.custom_extensions.push(empty);
            root().leaf(&[], empty).with(&[])
        })
        .refused(NameMismatch, "not valid for"),
    ]
}

fn chains() -> Vec<Case> {
    let stranger = Ca::root("stranger");
    let namesake = Ca::root("root of the test");
    let sub = root().sub("authority between", |_| {});
    let deeper = sub.sub("authority below", |_| {});
    let good = leaf(&[HOST]);
    let posing = Ca::root("peer of the test");
    let no_ca = |params: &mut CertificateParams| params.is_ca = IsCa::NoCa;
    let not_a_ca = |params: &mut CertificateParams| params.is_ca = IsCa::ExplicitNoCa;
    let leaf_as_ca = root().sub("peer that signs", |params| {
        no_ca(params);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    });
    let short = root().sub("last authority", |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    });
    let too_deep = short.sub("one authority more", |_| {});
    let hundred = {
        let mut chain: Vec<Ca> = vec![root().sub("authority 0", |_| {})];
        for number in 1..100 {
            let next = chain[number - 1].sub(&format!("authority {number}"), |_| {});
            chain.push(next);
        }
        let chain: Vec<&Ca> = chain.iter().rev().collect();
        chain[0].leaf(&[HOST], |_| {}).with(&chain)
    };
    let new = |what, shown| Case::new(what, HOST, shown);
    vec![
        new(
            "an unknown authority",
            stranger.leaf(&[HOST], |_| {}).with(&[]),
        )
        .refused(UnknownAuthority, "UnknownIssuer"),
        new(
            "an unknown authority that is sent along",
            stranger.leaf(&[HOST], |_| {}).with(&[&stranger]),
        )
        .refused(UnknownAuthority, "UnknownIssuer"),
        new(
            "a namesake of the authority",
            namesake.leaf(&[HOST], |_| {}).with(&[]),
        )
        .refused(BadSignature, "BadSignature"),
        new("signed by itself", self_signed(HOST)).refused(UnknownAuthority, "UnknownIssuer"),
        new(
            "an authority that poses as the peer",
            posing.leaf(&[HOST], |_| {}).with(&[&posing]),
        )
        .refused(UnknownAuthority, "UnknownIssuer"),
        new("the authority itself", root().itself().with(&[]))
            .refused(BadCertificate, "CaUsedAsEndEntity"),
        new(
            "a chain with a hole",
            deeper.leaf(&[HOST], |_| {}).with(&[&deeper]),
        )
        .refused(UnknownAuthority, "UnknownIssuer"),
        new("a chain of one", sub.leaf(&[HOST], |_| {}).with(&[]))
            .refused(UnknownAuthority, "UnknownIssuer"),
        new("a chain that begins with the authority", {
            let leaf = sub.leaf(&[HOST], |_| {});
            ServerIdentity::from_der(vec![sub.der(), leaf.der], leaf.key)
        })
        .refused(BadCertificate, "CaUsedAsEndEntity"),
        new(
            "a peer that signs",
            leaf_as_ca.leaf(&[HOST], |_| {}).with(&[&leaf_as_ca]),
        )
        .refused(BadCertificate, "EndEntityUsedAsCa"),
        new("an authority without basic constraints", below(no_ca))
            .refused(BadCertificate, "EndEntityUsedAsCa"),
        new("an authority that says it is none", below(not_a_ca))
            .refused(BadCertificate, "EndEntityUsedAsCa"),
        new(
            "an authority too deep",
            too_deep.leaf(&[HOST], |_| {}).with(&[&too_deep, &short]),
        )
        .refused(BadCertificate, "PathLenConstraintViolated"),
        new("a hundred authorities", hundred).refused(BadCertificate, "Maximum"),
        new(
            "a name that is not permitted",
            below(|params| {
                params.name_constraints = Some(limited(&["other.example"], &[]));
            }),
        )
        .refused(BadCertificate, "NameConstraintViolation"),
        new(
            "a name that is excluded",
            below(|params| {
                params.name_constraints = Some(limited(&[], &["example"]));
            }),
        )
        .refused(BadCertificate, "NameConstraintViolation"),
        Case::new("an address that is excluded", "127.0.0.1", {
            let sub = root().sub("authority between", |params| {
                params.name_constraints = Some(limited(&[], &["127/8"]));
            });
            sub.leaf(&["ip:127.0.0.1"], |_| {}).with(&[&sub])
        })
        .refused(BadCertificate, "NameConstraintViolation"),
        new("the key of another", good.with_key_of(&leaf(&[HOST])))
            .refused(BadSignature, "BadSignature"),
        new(
            "no certificate",
            ServerIdentity::from_der(Vec::new(), good.key),
        )
        .refused(BadCertificate, "no certificate"),
    ]
}

fn contents() -> Vec<Case> {
    let new = |what, shown| Case::new(what, HOST, shown);
    let good = leaf(&[HOST]);
    let bytes = |der: Vec<u8>| ServerIdentity::from_der(vec![der], good.key.clone());
    let bent = |at: usize| {
        let mut der = good.der.clone();
        let at = der.len() - 1 - at;
        der[at] ^= 1;
        bytes(der)
    };
    let patched = |from: &[u8], to: &[u8]| root().patched(&good, from, to).with(&[]);
    let purposes = |purposes: &[ExtendedKeyUsagePurpose]| {
        let purposes = purposes.to_vec();
        move |params: &mut CertificateParams| params.extended_key_usages = purposes
    };
    vec![
        new(
            "expired",
            changed(|params| params.not_after = date_time_ymd(2001, 1, 1)),
        )
        .refused(Expired, "expired"),
        new(
            "not yet valid",
            changed(|params| params.not_before = date_time_ymd(4000, 1, 1)),
        )
        .refused(NotYetValid, "not valid yet"),
        new(
            "never valid",
            changed(|params| {
                params.not_before = date_time_ymd(2020, 1, 1);
                params.not_after = date_time_ymd(2019, 1, 1);
            }),
        )
        .refused(Expired, "Expired"),
        new(
            "an expired authority between",
            below(|params| params.not_after = date_time_ymd(2001, 1, 1)),
        )
        .refused(Expired, "expired"),
        new(
            "an authority between that is not yet valid",
            below(|params| {
                params.not_before = date_time_ymd(4000, 1, 1);
            }),
        )
        .refused(NotYetValid, "not valid yet"),
        new(
            "for clients",
            changed(purposes(&[ExtendedKeyUsagePurpose::ClientAuth])),
        )
        .refused(
            WrongPurpose,
            "does not allow extended key usage for server authentication",
        ),
        new(
            "for programs",
            changed(purposes(&[ExtendedKeyUsagePurpose::CodeSigning])),
        )
        .refused(
            WrongPurpose,
            "does not allow extended key usage for server authentication",
        ),
        new(
            "an authority for clients",
            below(purposes(&[ExtendedKeyUsagePurpose::ClientAuth])),
        )
        .refused(
            WrongPurpose,
            "does not allow extended key usage for server authentication",
        ),
        new(
            "an unknown critical extension",
            changed(|params| {
                params
                    .custom_extensions
                    .push(extension(UNKNOWN, &[5, 0], true));
            }),
        )
        .refused(BadCertificate, "UnsupportedCriticalExtension"),
        new("a bent signature", bent(0)).refused(BadSignature, "BadSignature"),
        new(
            "signed with another algorithm than it says",
            patched(ECDSA_SHA256, ECDSA_SHA384),
        )
        .refused(BadSignature, "BadSignature"),
        new(
            "signed with a weak algorithm",
            patched(ECDSA_SHA256, ECDSA_SHA224),
        )
        .refused(UnsupportedAlgorithm, "UnsupportedSignatureAlgorithm"),
        new("a key of an unknown kind", patched(P256, P239))
            .refused(UnsupportedAlgorithm, "Unsupported"),
        new("version 2", patched(VERSION_3, VERSION_2))
            .refused(BadCertificate, "UnsupportedCertVersion"),
        new(
            "half a certificate",
            bytes(good.der[..good.der.len() / 2].to_vec()),
        )
        .refused(BadCertificate, "BadEncoding"),
        new(
            "bytes behind the certificate",
            bytes([&good.der[..], b"more"].concat()),
        )
        .refused(BadCertificate, "BadEncoding"),
        new(
            "no certificate but text",
            bytes(b"-----BEGIN CERTIFICATE-----".to_vec()),
        )
        .refused(BadCertificate, "BadEncoding"),
    ]
}

/// Object identifiers and versions, each as long as what takes its place.
const ECDSA_SHA224: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 1];
const ECDSA_SHA256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA384: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3];
const P239: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 6];
const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
const VERSION_2: &[u8] = &[0xa0, 3, 2, 1, 1];
const VERSION_3: &[u8] = &[0xa0, 3, 2, 1, 2];

/// Peers whose certificate is good and whose handshake is not.
fn handshakes() -> Vec<Case> {
    let new = |what| Case::new(what, HOST, leaf(&[HOST]).with(&[]));
    // Behind the hello: bytes before it would be the fault of the proxy (RFC 9110 §9.3.6).
    let says = |bytes: &[u8]| {
        let script = Script::new().expect_bytes(b"\x16\x03").send(bytes);
        Peer::builder().script(script.expect_gone())
    };
    vec![
        new("another protocol")
            .peer(|peer| peer.alpn(&["h2"]))
            .refused(NoAgreement, "NoApplicationProtocol"),
        new("an older version")
            .peer(|peer| peer.tls_versions(TlsVersions::Only12))
            .tls(|tls| tls.min_version(TlsVersion::V1_3))
            .refused(NoAgreement, "ProtocolVersion"),
        new("a newer version")
            .peer(|peer| peer.tls_versions(TlsVersions::Only13))
            .tls(|tls| tls.max_version(TlsVersion::V1_2))
            .refused(NoAgreement, "ProtocolVersion"),
        new("no cipher suite in common, it says")
            .peer(|_| says(b"\x15\x03\x03\x00\x02\x02\x28"))
            .refused(Alert, "HandshakeFailure"),
        new("a cipher suite that was not offered")
            .peer(|_| says(&server_hello(b"\x03\x03", b"\x00\x2f")))
            .refused(Protocol, "UnofferedCipherSuite"),
        new("a version that was not offered")
            .peer(|_| says(&server_hello(b"\x03\x01", b"\xc0\x2b")))
            .refused(NoAgreement, "ServerDoesNotSupportTls12Or13"),
        new("no tls")
            .peer(|_| says(b"HTTP/1.1 200 OK\r\n\r\n"))
            .refused(NotTls, ""),
        new("a protocol that was not offered")
            .peer(|_| says(&server_hello_with(b"\x03\x03", b"\xc0\x2b", H2)))
            .refused(NoAgreement, "UnofferedApplicationProtocol"),
        new("a name that is not recognized, it says")
            .peer(|_| says(b"\x15\x03\x03\x00\x02\x02\x70"))
            .refused(Alert, "UnrecognisedName"),
    ]
}

/// The extension by which a server says that it speaks h2 (RFC 7301 §3.1).
const H2: &[u8] = &[0, 9, 0, 16, 0, 5, 0, 3, 2, b'h', b'2'];

/// A ServerHello without extensions (RFC 5246 §7.4.1.3).
fn server_hello(version: &[u8; 2], suite: &[u8; 2]) -> Vec<u8> {
    server_hello_with(version, suite, &[])
}

fn server_hello_with(version: &[u8; 2], suite: &[u8; 2], extensions: &[u8]) -> Vec<u8> {
    let body = [&version[..], &[7; 32], &[0], suite, &[0], extensions].concat();
    let len = u8::try_from(body.len()).unwrap();
    let record = [0x16, 3, 3, 0, len + 4, 2, 0, 0, len];
    [&record[..], &body].concat()
}

/// What looks odd and is right.
fn good() -> Vec<Case> {
    let new = |what, host, names: &[&str]| Case::new(what, host, leaf(names).with(&[]));
    let sub = root().sub("authority between", |_| {});
    let deeper = sub.sub("authority below", |_| {});
    let chain = |others: &[&Ca]| deeper.leaf(&[HOST], |_| {}).with(others);
    let stranger = Ca::root("stranger");
    vec![
        new("its name", HOST, &[HOST]),
        new(
            "its name in another case",
            "PEER.example",
            &["Peer.Example"],
        ),
        new(
            "its name without the dot of the url",
            "peer.example.",
            &[HOST],
        ),
        new(
            "its name among others",
            HOST,
            &["ip:::1", "other.example", HOST],
        ),
        new("its address", "127.0.0.1", &["ip:127.0.0.1"]),
        new("a wildcard", "a.peer.example", &["*.peer.example"]),
        new(
            "a wildcard for a whole a-label",
            "xn--mller-kva.peer.example",
            &["*.peer.example"],
        ),
        new(
            "an a-label",
            "xn--mller-kva.example",
            &["xn--mller-kva.example"],
        ),
        new("a name of one label", "intranet", &["intranet"]),
        Case::new("a chain", HOST, chain(&[&deeper, &sub])),
        Case::new(
            "a chain up to the root",
            HOST,
            chain(&[&deeper, &sub, root()]),
        ),
        Case::new("a chain in wrong order", HOST, chain(&[&sub, &deeper])),
        Case::new(
            "a chain with a stranger",
            HOST,
            chain(&[&stranger, &deeper, &sub]),
        ),
        Case::new(
            "no purpose",
            HOST,
            changed(|params| params.extended_key_usages.clear()),
        ),
        Case::new(
            "names within the limits",
            HOST,
            below(|params| {
                params.name_constraints = Some(limited(&["example"], &["other.example"]));
            }),
        ),
        Case::new(
            "an authority with none below it",
            HOST,
            below(|params| {
                params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            }),
        ),
        Case::new(
            "an unknown extension",
            HOST,
            changed(|params| {
                params
                    .custom_extensions
                    .push(extension(UNKNOWN, &[5, 0], false));
            }),
        ),
        Case::new(
            "signed again",
            HOST,
            root()
                .patched(&leaf(&[HOST]), b"peer of the test", b"PEER of the TEST")
                .with(&[]),
        ),
        Case::new("no protocol", HOST, leaf(&[HOST]).with(&[])).peer(|peer| peer.alpn(&[])),
        Case::new("an older version", HOST, leaf(&[HOST]).with(&[]))
            .peer(|peer| peer.tls_versions(TlsVersions::Only12)),
    ]
}

/// Meets each of them by each way and through each door.
#[track_caller]
fn judged(cases: &[Case], at_least: usize) {
    assert!(cases.len() >= at_least, "{} cases", cases.len());
    let doors = |way: &Way| [Door::Client, Door::EventLoop].map(|door| (*way, door));
    let meetings = WAYS.iter().flat_map(doors);
    let wrong = meetings.flat_map(|(way, door)| {
        let cases = cases.iter().cloned();
        cases.filter_map(move |case| case.judge(way, door))
    });
    let wrong: Vec<_> = wrong.collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same with a peer that speaks TLS 1.2 only, where certificates are shown in the clear.
#[track_caller]
fn judged_in_both_versions(cases: &[Case], at_least: usize) {
    judged(cases, at_least);
    let old = |case: &Case| {
        case.clone()
            .peer(|peer| peer.tls_versions(TlsVersions::Only12))
    };
    let wrong = cases.iter().map(old);
    let wrong: Vec<_> = wrong
        .filter_map(|case| case.judge(Way::Direct, Door::Client))
        .collect();
    assert!(wrong.is_empty(), "TLS 1.2: {}", wrong.join("\n"));
}

#[test]
fn rfc_g1_rfc_g2_rfc_g8_cve_85_a_certificate_for_another_name_is_refused() {
    judged_in_both_versions(&names(), 30);
}

#[test]
fn rfc_g3_cve_85_a_certificate_of_an_untrusted_chain_is_refused() {
    judged_in_both_versions(&chains(), 19);
}

#[test]
fn rfc_g3_cve_85_a_certificate_with_wrong_contents_is_refused() {
    judged_in_both_versions(&contents(), 17);
}

#[test]
fn rfc_g4_rfc_g7_a_handshake_that_agrees_on_nothing_is_refused() {
    judged(&handshakes(), 9);
}

#[test]
fn rfc_g1_rfc_g8_good_certificates_that_look_odd_are_taken() {
    judged_in_both_versions(&good(), 20);
}

#[test]
fn rfc_f22_behind_a_proxy_the_name_of_the_origin_is_verified_and_not_that_of_the_proxy() {
    let cases = [
        Case::new(
            "the proxy's address",
            HOST,
            leaf(&["ip:127.0.0.1"]).with(&[]),
        )
        .refused(NameMismatch, "not valid for"),
        Case::new("the origin's name", HOST, leaf(&[HOST]).with(&[])),
    ];
    judged(&cases, 2);
}
