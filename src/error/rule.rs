//! The rules that input can break, one small enum per matter. Each variant is a rule and reads as a sentence.

use std::fmt;

use crate::message::url::UrlError;

/// Declares an enum of rules with the sentence of each.
macro_rules! rules {
    ($(#[$doc:meta])* $name:ident { $($(#[$rule:meta])* $variant:ident => $text:literal,)+ }) => {
        $(#[$doc])*
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$rule])* $variant,)+ }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }
    };
}

/// A field line that may not be sent.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FieldError {
    /// The name has no character.
    EmptyName,
    /// A byte of the name is not a token byte (RFC 9110 §5.1).
    NameByte {
        /// Where in the name.
        offset: usize,
    },
    /// A byte of the value is a control byte, or not ASCII where text was asked for (RFC 9110 §5.5).
    ValueByte {
        /// Where in the value.
        offset: usize,
    },
    /// The value begins or ends with white space (RFC 9110 §5.5).
    ValueSpace,
    /// The name or the value is too long to be held.
    TooLong,
    /// The field may stand once only and was given twice (RFC 9110 §5.3).
    Repeated,
    /// The field decides the framing and disagrees with the body (RFC 9112 §6).
    Framing,
    /// The field belongs to one connection and is written by the client alone (RFC 9110 §7.6.1).
    ConnectionOwned,
    /// The field may not stand in a trailer section (RFC 9110 §6.5.1).
    NotInTrailers,
    /// The name of a protocol is not a token, with or without a `/` and a version (RFC 9110 §7.8).
    Protocol,
    /// `Expect` with anything but `100-continue`, or without a body (RFC 9110 §10.1.1).
    Expect,
}

impl fmt::Display for FieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EmptyName => f.write_str("a field name may not be empty"),
            Self::NameByte { offset } => write!(
                f,
                "byte {offset} of the field name is not a token character"
            ),
            Self::ValueByte { offset } => {
                write!(f, "byte {offset} of the field value is not allowed")
            }
            Self::ValueSpace => f.write_str("a field value may not begin or end with white space"),
            Self::TooLong => f.write_str("the field line is too long"),
            Self::Repeated => f.write_str("the field may stand only once"),
            Self::Framing => f.write_str("the field contradicts the framing of the body"),
            Self::ConnectionOwned => {
                f.write_str("the field belongs to the connection and is written by the client")
            }
            Self::NotInTrailers => f.write_str("the field may not stand in a trailer section"),
            Self::Protocol => {
                f.write_str("a protocol is a token, with or without a slash and a version")
            }
            Self::Expect => f.write_str("only 100-continue can be expected, and only with a body"),
        }
    }
}

impl std::error::Error for FieldError {}

rules! {
    /// What is wrong with the head of a response.
    HeadRule {
        /// What was received is not HTTP (RFC 9112 §4).
        NotHttp => "not an http response",
        /// The version is not HTTP/1.x (RFC 9110 §6.2).
        Version => "the version is not http/1",
        /// The status line is malformed (RFC 9112 §4).
        StatusLine => "the status line is malformed",
        /// The status code is not three digits from 100 to 999 (RFC 9110 §15).
        StatusCode => "the status code is not three digits from 100",
        /// The reason phrase has a control byte (RFC 9112 §4).
        Reason => "the reason phrase has a control byte",
        /// More than two empty lines stand before the status line (RFC 9112 §2.2).
        EmptyLines => "too many empty lines before the status line",
        /// A CR stands without its LF (RFC 9112 §2.2).
        BareCr => "a CR stands alone",
        /// A LF stands without its CR where that is not accepted (RFC 9112 §2.2).
        BareLf => "a LF stands alone",
        /// A line without a colon (RFC 9112 §5).
        NoColon => "a field line has no colon",
        /// An empty field name (RFC 9112 §5).
        EmptyName => "a field name is empty",
        /// A byte of a field name is not a token byte (RFC 9110 §5.1).
        NameByte => "a field name has a byte that is not a token character",
        /// White space between name and colon (RFC 9112 §5.1).
        SpaceBeforeColon => "white space stands before a colon",
        /// A byte of a field value is a control byte (RFC 9110 §5.5).
        ValueByte => "a field value has a control byte",
        /// A folded line before the first field line (RFC 9112 §2.2).
        FoldFirst => "white space stands before the first field line",
        /// A folded line, refused in strict mode (RFC 9112 §5.2).
        Fold => "a field line is folded",
    }
}

rules! {
    /// What is wrong with the framing of a response (RFC 9112 §6.3).
    FramingRule {
        /// The length is not a plain decimal number (RFC 9110 §8.6).
        LengthSyntax => "the content-length is not a plain number",
        /// The length does not fit 64 bits (RFC 9110 §8.6).
        LengthOverflow => "the content-length does not fit 64 bits",
        /// Two lengths differ (RFC 9112 §6.3).
        LengthsDiffer => "two content-lengths differ",
        /// The transfer coding is not exactly one `chunked` (RFC 9112 §6.1).
        TransferCoding => "the transfer-encoding is not exactly one chunked",
        /// Transfer-Encoding and Content-Length together, refused in strict mode (RFC 9112 §6.3).
        LengthAndCoding => "content-length and transfer-encoding stand together",
        /// Transfer-Encoding in an HTTP/1.0 response, refused in strict mode (RFC 9112 §6.1).
        CodingInHttp10 => "transfer-encoding stands in an http/1.0 response",
        /// A 101 that was not asked for (RFC 9110 §15.2.2).
        SwitchNotAsked => "the peer switches to a protocol that was not asked for",
        /// A 101 or the beginning of a tunnel while the request cannot be sent whole any more, or more than 64 KiB of the
        /// other protocol before it is (RFC 9110 §7.8).
        SwitchTooSoon => "the peer switches to another protocol before it has the whole request",
    }
}

/// What is wrong with a redirect that would otherwise be followed (RFC 9110 §10.2.2).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RedirectRule {
    /// There are two different `Location` fields.
    TwoLocations,
    /// The `Location` is not a reference that can be followed; the offset is into its value, bytes that are not
    /// ASCII counted as percent-encoded.
    Location(UrlError),
}

impl fmt::Display for RedirectRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TwoLocations => f.write_str("two different location fields"),
            Self::Location(rule) => write!(f, "the location cannot be used: {rule}"),
        }
    }
}

/// What is wrong with a proxy that was given.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyRule {
    /// The scheme is none of `http`, `https`, `socks5` and `socks5h`.
    Scheme,
    /// User name, host or port cannot be read; the offset is into the text that was given.
    Url(UrlError),
    /// There is a path other than `/`, a query or a fragment.
    Path,
    /// The user name has a colon, or the credentials a control character (RFC 7617 §2).
    Credentials,
    /// User name or password for a SOCKS proxy has not 1 to 255 bytes (RFC 1929 §2).
    SocksCredentials,
    /// The caller's function failed; its error is the source.
    Choice,
}

impl fmt::Display for ProxyRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Scheme => "the scheme is not http, https, socks5 or socks5h",
            Self::Url(rule) => return rule.fmt(f),
            Self::Path => "there is a path, a query or a fragment",
            Self::Credentials => {
                "the user name has a colon, or the credentials a control character"
            }
            Self::SocksCredentials => "user name and password need 1 to 255 bytes each for socks",
            Self::Choice => "the function that chooses it failed",
        })
    }
}

rules! {
    /// What is wrong with a chunked body (RFC 9112 §7.1).
    ChunkRule {
        /// The size is missing or has a byte that is no hex digit.
        SizeSyntax => "the chunk size is not a hex number",
        /// The size has more than 16 digits.
        SizeOverflow => "the chunk size has more than 16 digits",
        /// A chunk extension has a control byte.
        Extension => "a chunk extension has a control byte",
        /// The line of a chunk size does not end in CRLF.
        SizeLineEnd => "the line of a chunk size does not end in CRLF",
        /// The data of a chunk is not followed by CRLF.
        DataEnd => "the data of a chunk is not followed by CRLF",
    }
}

rules! {
    /// What is wrong with a partial response, or keeps it from being joined with what is held (RFC 9110 §14, RFC 9110 §15.3.7).
    RangeRule {
        /// The response is not partial.
        NotPartial => "the response is not partial",
        /// Neither a `Content-Range` nor the type `multipart/byteranges` says which part it is, or a part does not.
        Missing => "no content-range says which part it is",
        /// More than one `Content-Range`, or one beside the type `multipart/byteranges`.
        Several => "more than one field says which part it is",
        /// The `Content-Range` is malformed (RFC 9110 §14.4).
        Syntax => "the content-range is malformed",
        /// The unit is not bytes.
        Unit => "the unit of the range is not bytes",
        /// The range ends before it begins (RFC 9110 §14.4).
        Order => "the range ends before it begins",
        /// The complete length is not larger than the last position (RFC 9110 §14.4), or differs from another one.
        CompleteLength => "the complete length contradicts the range or another part",
        /// The range is not of those that were asked for.
        NotAsked => "the range was not asked for",
        /// The content is longer or shorter than its range, or `Content-Length` says so.
        Length => "the content is not as long as its range",
        /// The boundary of the parts is missing or malformed (RFC 2046 §5.1.1).
        Boundary => "the boundary of the parts is missing or malformed",
        /// A line that should part two parts is malformed, or too far behind (RFC 2046 §5.1.1).
        Delimiter => "a delimiter between parts is malformed",
        /// The fields of a part are malformed, or too many.
        PartFields => "the fields of a part are malformed",
        /// There are more parts than ranges were asked for.
        TooManyParts => "there are more parts than ranges were asked for",
        /// The content ended before its last part was whole.
        Cut => "the content ended inside its parts",
        /// The strong validator is missing or another one (RFC 9110 §15.3.7.3).
        Validator => "the strong validator is missing or another one",
    }
}

impl std::error::Error for RangeRule {}

rules! {
    /// A bound that was reached. Each is a named setting in [`Limits`](crate::config::Limits).
    Limit {
        /// Bytes of a response head.
        HeadBytes => "bytes of a response head",
        /// Bytes of one line of a response head.
        LineBytes => "bytes of one line of a head",
        /// Field lines of a response head.
        FieldLines => "field lines of a head",
        /// Interim responses before the final one.
        InterimCount => "interim responses",
        /// Bytes of all interim responses together.
        InterimBytes => "bytes of interim responses",
        /// Bytes of a trailer section.
        TrailerBytes => "bytes of a trailer section",
        /// Field lines of a trailer section.
        TrailerLines => "field lines of a trailer section",
        /// Bytes of extensions of one chunk.
        ChunkExtension => "bytes of a chunk extension",
        /// Bytes of chunk framing beyond what the data justifies.
        ChunkOverhead => "bytes of chunk framing in excess of the data",
        /// Bytes of a body collected by a helper.
        BodyBytes => "bytes of a body collected by a helper",
        /// Redirects followed by one call.
        Redirects => "redirects",
    }
}

rules! {
    /// Why a name could not be looked up.
    LookupFailure {
        /// No such host, said by both families.
        NoSuchHost => "no such host",
        /// The host exists and has no address that can be used.
        NoAddress => "the host has no address",
        /// A temporary failure; a repeat may succeed.
        Temporary => "temporary failure of the name server",
        /// The name server failed.
        ServerFailure => "the name server failed",
        /// The system refused (out of memory, descriptors, or another error with a code).
        System => "the system could not look the name up",
        /// The host has only addresses of the family that the client may not use.
        OtherFamily => "the host has no address of the family in use",
        /// Every address of the host was refused by the caller's guard.
        NotAllowed => "no address of the host may be dialed",
        /// The caller's own resolver failed.
        Custom => "the custom resolver failed",
    }
}

rules! {
    /// Why TLS could not be established or went wrong.
    TlsFailure {
        /// The certificate does not speak for this name (RFC 9110 §4.3.4).
        NameMismatch => "the certificate is for another name",
        /// The certificate comes from an authority that is not trusted.
        UnknownAuthority => "the certificate comes from an unknown authority",
        /// The certificate has expired.
        Expired => "the certificate has expired",
        /// The certificate is not valid yet.
        NotYetValid => "the certificate is not valid yet",
        /// The certificate was revoked.
        Revoked => "the certificate was revoked",
        /// The certificate is not for servers (RFC 5280 §4.2.1.12).
        WrongPurpose => "the certificate is not for servers",
        /// A signature does not fit: that of a certificate, or the peer's proof that it has the key of its own.
        BadSignature => "a signature of the certificate or with its key is wrong",
        /// A certificate is signed in a way, or has a key, that is too weak or not known here.
        UnsupportedAlgorithm => "the signature or the key of a certificate is of an unsupported kind",
        /// The certificate, or one between it and its authority, is not acceptable for another reason.
        BadCertificate => "the certificate is not acceptable",
        /// The peer sent an alert.
        Alert => "the peer ended tls with an alert",
        /// The peer does not speak TLS.
        NotTls => "the peer does not speak tls",
        /// Version, cipher suite or protocol could not be agreed on.
        NoAgreement => "no version, cipher suite or protocol in common",
        /// The peer broke the TLS protocol.
        Protocol => "the peer broke the tls protocol",
        /// The connection was lost in the handshake; the I/O error is the source.
        Lost => "the connection was lost in the handshake",
        /// Another contestant of the dial was quicker; told in events only.
        Overtaken => "another contestant was quicker",
        /// The configuration of TLS cannot be used.
        Config => "the tls configuration cannot be used",
        /// A setting that needs a certificate was given none.
        NoCertificate => "there is no certificate in it",
        /// A certificate of a setting cannot be read, or cannot be what it is set as.
        UnusableCertificate => "a certificate in it cannot be used",
        /// A setting that needs a private key was given none.
        NoKey => "there is no private key in it",
        /// The private key is encrypted; a password is not supported.
        EncryptedKey => "the private key in it is encrypted",
        /// The private key cannot be read, or is of a kind that cannot sign here.
        UnusableKey => "the private key in it cannot be used",
        /// The private key is not that of the certificate.
        KeyMismatch => "the private key and the certificate do not belong together",
        /// The build has no TLS (feature `tls`) or no crypto provider.
        NotBuiltIn => "tls is not built in",
    }
}

rules! {
    /// What is wrong with the answer of a SOCKS5 proxy.
    SocksRule {
        /// The version is not 5 (RFC 1928 §3, RFC 1928 §6).
        Version => "the version is not 5",
        /// It chose a method that was not offered (RFC 1928 §3).
        Method => "it chose a method that was not offered",
        /// The version of the negotiation of user name and password is not 1 (RFC 1929 §2).
        LoginVersion => "the version of the login is not 1",
        /// The reserved byte is not 0 (RFC 1928 §6).
        Reserved => "the reserved byte is not 0",
        /// The type of the bound address is none of 1, 3 and 4 (RFC 1928 §5).
        AddressType => "the type of the bound address is unknown",
    }
}

rules! {
    /// What is wrong with a request or a setting, found before any I/O.
    RequestRule {
        /// The method is not a token (RFC 9110 §9.1).
        Method => "the method is not a token",
        /// CONNECT without a target of its own, or with a body: it is made by [`Client::connect`](crate::Client::connect).
        ConnectMethod => "connect needs a target of its own and has no body",
        /// What a CONNECT asks for is not `host:port`, or its URL has more than a server (RFC 9112 §3.2.3).
        ConnectTarget => "connect asks a server, by a url without a path, for host:port",
        /// An upgrade or a CONNECT together with `Connection: close`, after which nothing is sent (RFC 9112 §9.6).
        CloseBeforeSwitch => "nothing can be sent on a connection that is to be closed",
        /// TRACE was not allowed explicitly (RFC 9110 §9.3.8).
        TraceMethod => "trace has to be allowed explicitly and has no body and no credentials",
        /// A body with a method for which it means nothing, and no opt-in (RFC 9110 §9.3.1).
        BodyNotAllowed => "a body with this method has to be allowed explicitly",
        /// `*` as target with a method other than OPTIONS (RFC 9112 §3.2.4).
        AsteriskForm => "the asterisk-form is for options only",
        /// OPTIONS with a body but without a Content-Type (RFC 9110 §9.3.7).
        OptionsContentType => "options with a body needs a content-type",
        /// User name with a colon or a control character (RFC 7617 §2).
        Credentials => "the user name has a colon, or the credentials a control character",
        /// A setting is out of its range.
        Setting => "a setting is out of its range",
        /// The event loop on a thread of its own was shut down, or its thread has ended.
        LoopEnded => "the event loop takes no calls any more",
        /// The completion of the call was taken before; there is only one.
        CompletionTaken => "the completion was taken before",
        /// The URL is http, and the client is for https only.
        HttpsOnly => "the client is for https only",
        /// A range to ask for is empty or ends before it begins, there is none, or there are too many (RFC 9110 §14.2).
        Ranges => "the ranges to ask for are none, too many, empty or backwards",
        /// `If-Range` without `Range`, or with what is no strong validator (RFC 9110 §13.1.5).
        IfRange => "if-range needs a range and a strong validator",
        /// A weak entity tag where tags are compared strongly, so that it never matches (RFC 9110 §13.1.1).
        WeakTag => "a weak entity tag never matches here",
        /// The moment cannot be written as a date (RFC 9110 §5.6.7).
        Date => "the moment cannot be written as a date",
        /// A chunked body to a peer that is known to speak HTTP/1.0.
        ChunkedToHttp10 => "the peer speaks http/1.0 and the length of the body is not known",
    }
}

rules! {
    /// What a socket could not be made to be before its connect. The error says which interface or address.
    SocketRule {
        /// The system does not bind it to the local address, most often because the machine does not have it.
        LocalAddress => "it cannot be bound to the local address",
        /// The system does not bind it to the interface, most often because there is none of that name.
        Interface => "it cannot be bound to the interface",
        /// Binding to an interface needs a permission: on Linux before 5.7, CAP_NET_RAW.
        InterfacePermission => "binding to the interface needs a permission (cap_net_raw) that the program does not have",
        /// The system does not take the times of the probes.
        KeepAlive => "the keep-alive probes cannot be set",
        /// The caller's hook refused it.
        Hook => "the hook of the caller refused it",
    }
}

impl std::error::Error for RequestRule {}
