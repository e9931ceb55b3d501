//! What is sent behind the head of a request, as the caller gave it.

use std::io::Read;
use std::sync::Arc;

use crate::body::BodySource;
use crate::drive::upload::{Make, MakeTrailers, Upload};
use crate::error::{Error, FieldError};
use crate::message::fields::Fields;
use crate::proto::plan::Wish;
use crate::proto::sending::{BodyPlan, LateTrailers, TrailerPlan};

/// What stands behind the body. Few requests have any: it waits in a box, since a request is moved often.
#[derive(Default)]
pub(super) struct Trailers {
    pub(super) known: Fields,
    pub(super) late: Option<Late>,
}

impl Trailers {
    /// Puts a body with these trailers to a wish; gives what the driver has to hold.
    pub(super) fn end(self, body: Body, wish: &mut Wish) -> Upload {
        let Some(late) = self.late.filter(|late| !late.names.is_empty()) else {
            return body.split(TrailerPlan::new(self.known, Vec::new()), wish);
        };
        let upload = body.split(TrailerPlan::new(self.known, late.names.clone()), wish);
        Upload::trailed(upload, late.into_maker())
    }
}

/// Trailers that are known at the end of the body.
pub(super) struct Late {
    pub(super) names: Vec<Box<str>>,
    pub(super) make: Box<dyn Fn() -> std::io::Result<Fields> + Send>,
}

impl Late {
    /// What asks the caller, and lets nothing through that was not announced.
    pub(super) fn into_maker(self) -> MakeTrailers {
        Box::new(move || {
            LateTrailers::announced((self.make)()?, &self.names).map_err(|name| {
                let error = Error::from(FieldError::NotInTrailers).about(&name);
                std::io::Error::new(std::io::ErrorKind::InvalidInput, error)
            })
        })
    }
}

/// What is sent behind the head.
pub(super) enum Body {
    Empty,
    Bytes(Arc<[u8]>),
    Vec(Vec<u8>),
    Source(Box<dyn Read + Send>, Option<u64>),
    Made(Make, Option<u64>),
    Polled(Box<dyn BodySource>, Option<u64>),
}

impl Body {
    /// Puts the body to a wish, as far as the core has to know of it; gives what the driver has to hold.
    pub(super) fn split(self, trailers: TrailerPlan, wish: &mut Wish) -> Upload {
        let has_trailers = !trailers.is_empty();
        let (body, upload, is_replayable) = match self {
            // That is what a wish begins with.
            Self::Empty if !has_trailers => return Upload::Empty,
            Self::Empty => (
                BodyPlan::Source(None, Box::new(trailers)),
                Upload::Source(Box::new(std::io::empty())),
                true,
            ),
            Self::Vec(bytes) if has_trailers => {
                return Self::Bytes(bytes.into()).split(trailers, wish);
            }
            // Trailers stand behind chunks only.
            Self::Bytes(bytes) if has_trailers => {
                let make = move || Ok(Box::new(std::io::Cursor::new(bytes.clone())) as _);
                return Self::Made(Box::new(make), None).split(trailers, wish);
            }
            Self::Bytes(bytes) => (
                BodyPlan::Memory(bytes.len() as u64),
                Upload::Bytes(bytes),
                true,
            ),
            Self::Vec(bytes) => (
                BodyPlan::Memory(bytes.len() as u64),
                Upload::Vec(bytes),
                true,
            ),
            Self::Source(source, length) => (
                BodyPlan::Source(length, Box::new(trailers)),
                Upload::Source(source),
                false,
            ),
            Self::Polled(source, length) => (
                BodyPlan::Source(length, Box::new(trailers)),
                Upload::Polled(source),
                false,
            ),
            Self::Made(make, length) => (
                BodyPlan::Source(length, Box::new(trailers)),
                Upload::made(make),
                true,
            ),
        };
        wish.set_body(body, is_replayable);
        upload
    }
}
