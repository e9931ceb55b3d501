//! Why a hop goes through a proxy, or through none.

/// What decided about the proxy of a hop.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxySource {
    /// The proxy of the client or of the request.
    Explicit,
    /// A variable of the environment.
    Environment,
    /// An entry of the list of hosts that are reached without a proxy.
    NoProxy,
    /// The rule that a proxy of the environment is not asked for this machine.
    Loopback,
    /// The caller's function.
    Function,
}

impl ProxySource {
    /// The name in exports.
    #[must_use]
    pub const fn tag(self) -> &'static str {
        match self {
            Self::Explicit => "explicit",
            Self::Environment => "environment",
            Self::NoProxy => "no_proxy",
            Self::Loopback => "loopback",
            Self::Function => "function",
        }
    }
}
