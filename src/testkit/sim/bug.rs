//! Bugs that can be planted, to show that the laws find them.

/// A bug of an interpreter. A simulation that has one planted breaks a law sooner or later; one that does not is
/// not worth much.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// The last byte of a receive is lost now and then.
    LostByte,
    /// A connection of the pool is used for whatever comes next, so that another origin answers.
    MixedAnswers,
    /// An event that ends something is not told.
    SilentEnd,
    /// What was handed to the network leaves twice.
    SentTwice,
    /// A connection that was closed still counts as on loan.
    LeakedLoan,
    /// Deadlines never fire.
    NoDeadline,
    /// A call sent more bytes than it says.
    Miscounted,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::LostByte,
        Self::MixedAnswers,
        Self::SilentEnd,
        Self::SentTwice,
        Self::LeakedLoan,
        Self::NoDeadline,
        Self::Miscounted,
    ];
}
