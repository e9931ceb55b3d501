//! Why a connection serves no further request.

use std::fmt;

/// Declares the reasons with the tag and the sentence of each.
macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident $tag:literal $text:literal,)+) => {
        /// Why a connection is not put back, or why it ended.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CloseReason { $($(#[$doc])* $variant,)+ }

        impl CloseReason {
            /// The name in exports.
            #[must_use]
            pub const fn tag(self) -> &'static str {
                match self { $(Self::$variant => $tag,)+ }
            }
        }

        impl fmt::Display for CloseReason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$variant => $text,)+ })
            }
        }
    };
}

reasons! {
    /// Our request said `close` (RFC 9112 §9.6).
    CloseRequested "close_requested" "the request said close",
    /// The response said `close` (RFC 9112 §9.6).
    PeerClose "peer_close" "the response said close",
    /// The peer speaks HTTP/1.0 and did not say `keep-alive` (RFC 9112 §9.3).
    Http10 "http10" "the peer speaks http/1.0 without keep-alive",
    /// Only the end of the connection ends the body (RFC 9112 §6.3).
    DelimitedByClose "delimited_by_close" "the end of the connection ends the body",
    /// A length and a transfer coding stood together (RFC 9112 §6.3).
    LengthAndTransferEncoding "length_and_transfer_encoding" "content-length and transfer-encoding stood together",
    /// An HTTP/1.0 response named a transfer coding (RFC 9112 §6.1).
    TransferEncodingInHttp10 "transfer_encoding_in_http10" "transfer-encoding stood in an http/1.0 response",
    /// Keeping connections is switched off for this client.
    KeepAlivesDisabled "keep_alives_disabled" "keeping connections is switched off",
    /// The caller dropped the response before the end of its body.
    BodyNotRead "body_not_read" "the body was not read to its end",
    /// The response ended before the request was fully sent (RFC 9112 §9.5).
    UploadUnfinished "upload_unfinished" "the response ended before the request did",
    /// A final response came instead of a 100 (Continue), so the request was not completed.
    BodySkipped "body_skipped" "the request body was not sent",
    /// Another protocol is spoken on it: after a 101 that was asked for, or in a tunnel (RFC 9110 §7.8,
    /// RFC 9110 §9.3.6). It belongs to the caller, and ends when the caller drops it.
    Upgraded "upgraded" "another protocol is spoken on it",
    /// The peer refused a CONNECT of the caller's own (RFC 9110 §9.3.6).
    ConnectRefused "connect_refused" "the peer refused to make a tunnel",
    /// Bytes follow the end of the response (RFC 9112 §9.2).
    LeftoverBytes "leftover_bytes" "bytes follow the end of the response",
    /// The pool has no place for it.
    PoolFull "pool_full" "the pool has no place for it",
    /// It gave its place in the pool to a newer one.
    Evicted "evicted" "a newer connection took its place in the pool",
    /// It has carried as many requests as it may: our own limit, or the peer said `Keep-Alive: max=0`.
    MaxRequests "max_requests" "it has carried as many requests as it may",
    /// It is as old as it may become.
    MaxAge "max_age" "it is as old as it may become",
    /// It was idle for too long.
    IdleTimeout "idle_timeout" "it was idle for too long",
    /// The peer closed it while it was idle.
    PeerClosedIdle "peer_closed_idle" "the peer closed it while it was idle",
    /// The peer spoke while it was idle (RFC 9112 §9.2).
    UnsolicitedBytes "unsolicited_bytes" "the peer spoke while it was idle",
    /// The response asks for the request on another connection (RFC 9110 §15.5.9, RFC 9110 §15.5.20).
    RepeatElsewhere "repeat_elsewhere" "the response asks for another connection",
    /// The caller asked that idle connections be closed.
    CloseIdleCalled "close_idle_called" "idle connections were asked to be closed",
    /// The client was dropped.
    ClientDropped "client_dropped" "the client was dropped",
    /// The peer broke a rule.
    ProtocolError "protocol_error" "the peer broke a rule",
    /// The connection was lost.
    ConnectionLost "connection_lost" "the connection was lost",
    /// A deadline of the call passed.
    Timeout "timeout" "a deadline of the call passed",
    /// The call was given up.
    Canceled "canceled" "the call was given up",
    /// The caller's body source failed, or had another length than declared.
    BodySource "body_source" "the body source failed",
}
