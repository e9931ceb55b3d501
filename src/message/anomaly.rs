//! What a peer did that breaks a rule and is accepted all the same.
//!
//! One line per kind and message: how often, and where first. Nothing here allocates, so a peer that does it
//! a thousand times costs as much as one that does it once.

use std::fmt;

/// A deviation from the protocol that was accepted (RFC 9112 §2.2 and the sections named below).
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Anomaly {
    /// An empty line stood before the status line and was skipped (RFC 9112 §2.2).
    LeadingEmptyLine,
    /// The version is a higher minor of 1 and was read as 1.1 (RFC 9110 §6.2).
    Version,
    /// Nothing follows the status code, not even the space (RFC 9112 §4).
    NoReason,
    /// A line ended in LF without CR (RFC 9112 §2.2).
    BareLf,
    /// A field line was folded; each fold became one space (RFC 9112 §5.2).
    ObsFold,
    /// White space stood before a colon and was stripped (RFC 9112 §5.1).
    SpaceBeforeColon,
    /// The same length was given more than once (RFC 9112 §6.3).
    EqualLengths,
    /// A length and a transfer coding stood together; the coding governed (RFC 9112 §6.3).
    LengthAndTransferEncoding,
    /// An HTTP/1.0 response named a transfer coding; the body was read to the close (RFC 9112 §6.1).
    TransferEncodingInHttp10,
    /// A trailer field that may not stand there was not used (RFC 9110 §6.5.1).
    ForbiddenTrailer,
    /// A name has more addresses than are used; told within its dial, with the number of those left out.
    TooManyAddresses,
}

impl Anomaly {
    /// Every kind, in the order of declaration.
    pub const ALL: [Self; 11] = [
        Self::LeadingEmptyLine,
        Self::Version,
        Self::NoReason,
        Self::BareLf,
        Self::ObsFold,
        Self::SpaceBeforeColon,
        Self::EqualLengths,
        Self::LengthAndTransferEncoding,
        Self::TransferEncodingInHttp10,
        Self::ForbiddenTrailer,
        Self::TooManyAddresses,
    ];

    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::LeadingEmptyLine => "leading_empty_line",
            Self::Version => "version",
            Self::NoReason => "no_reason",
            Self::BareLf => "bare_lf",
            Self::ObsFold => "obs_fold",
            Self::SpaceBeforeColon => "space_before_colon",
            Self::EqualLengths => "equal_lengths",
            Self::LengthAndTransferEncoding => "length_and_transfer_encoding",
            Self::TransferEncodingInHttp10 => "transfer_encoding_in_http10",
            Self::ForbiddenTrailer => "forbidden_trailer",
            Self::TooManyAddresses => "too_many_addresses",
        }
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeadingEmptyLine => "an empty line stood before the status line",
            Self::Version => "the version is a higher minor of http/1",
            Self::NoReason => "nothing follows the status code",
            Self::BareLf => "a line ended in LF without CR",
            Self::ObsFold => "a field line was folded",
            Self::SpaceBeforeColon => "white space stood before a colon",
            Self::EqualLengths => "the same content-length was given more than once",
            Self::LengthAndTransferEncoding => {
                "content-length and transfer-encoding stood together"
            }
            Self::TransferEncodingInHttp10 => "transfer-encoding stood in an http/1.0 response",
            Self::ForbiddenTrailer => "a trailer field may not stand there",
            Self::TooManyAddresses => "a name has more addresses than are used",
        })
    }
}

/// One kind of deviation in one message: how often, and where first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sighting {
    pub(crate) anomaly: Anomaly,
    /// Saturates.
    pub(crate) count: u32,
    /// Offset of the first, from the first byte of the head (of the body for what stands in the body). 0 for
    /// what is a matter of the whole head.
    pub(crate) offset: u64,
}

/// The deviations of one message. They are rare, so that a message without any has no room for them.
#[derive(Clone, Default)]
pub(crate) struct Anomalies(Option<Box<Seen>>);

#[derive(Clone, Default)]
struct Seen {
    counts: [u32; Anomaly::ALL.len()],
    firsts: [u64; Anomaly::ALL.len()],
}

impl Anomalies {
    /// Notes one more of a kind; the first offset is kept.
    pub(crate) fn note(&mut self, anomaly: Anomaly, offset: u64) {
        self.add(anomaly, 1, offset);
    }

    /// The same with offsets that count from `start` bytes earlier.
    pub(crate) fn shifted(&self, start: u64) -> Self {
        let mut shifted = self.clone();
        if let Some(seen) = &mut shifted.0 {
            for first in &mut seen.firsts {
                *first = first.saturating_add(start);
            }
        }
        shifted
    }

    /// Says whether there was none.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Counts those of one kind.
    #[cfg(test)]
    pub(crate) fn count(&self, anomaly: Anomaly) -> u32 {
        let of_kind = self.iter().find(|seen| seen.anomaly == anomaly);
        of_kind.map_or(0, |seen| seen.count)
    }

    /// Iterates over the kinds that occurred, in the order of declaration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Sighting> + '_ {
        self.0.iter().flat_map(|seen| {
            Anomaly::ALL
                .iter()
                .zip(seen.counts.iter().zip(&seen.firsts))
                .filter(|(_, (count, _))| **count > 0)
                .map(|(anomaly, (count, offset))| Sighting {
                    anomaly: *anomaly,
                    count: *count,
                    offset: *offset,
                })
        })
    }

    fn add(&mut self, anomaly: Anomaly, more: u32, offset: u64) {
        let place = anomaly as usize;
        let seen = self.0.get_or_insert_default();
        let (Some(count), Some(first)) = (seen.counts.get_mut(place), seen.firsts.get_mut(place))
        else {
            return;
        };
        if *count == 0 {
            *first = offset;
        }
        *count = count.saturating_add(more);
    }
}

impl PartialEq for Anomalies {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Anomalies {}

impl fmt::Debug for Anomalies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_keeps_its_count_and_first_offset() {
        let mut anomalies = Anomalies::default();
        assert!(anomalies.is_empty());
        anomalies.note(Anomaly::BareLf, 7);
        anomalies.note(Anomaly::BareLf, 3);
        anomalies.note(Anomaly::NoReason, 12);
        anomalies.note(Anomaly::BareLf, 1);
        let seen: Vec<_> = anomalies
            .iter()
            .map(|s| (s.anomaly.tag(), s.count, s.offset))
            .collect();
        assert_eq!(seen, [("no_reason", 1, 12), ("bare_lf", 3, 7)]);
    }

    #[test]
    fn the_list_of_kinds_is_in_the_order_of_declaration() {
        for (index, anomaly) in Anomaly::ALL.into_iter().enumerate() {
            assert_eq!(anomaly as usize, index, "{anomaly}");
        }
    }
}
