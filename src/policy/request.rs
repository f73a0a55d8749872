//! A request, as far as a policy cares.

/// A request, as far as a policy cares.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Its method, if that is told exactly once.
    pub method: Option<&'a str>,
    /// Its target as the client sent it, if that is told exactly once.
    pub target: Option<&'a str>,
    /// What it may become behind the gateway.
    pub becomes: Becomes,
}

/// What a request may become behind the gateway, beside what it seems.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Becomes {
    /// Whether it asks for an upgrade: a connection that carries anything.
    pub upgrade: bool,
    /// The method that it names beside its own.
    pub method: OtherMethod,
}

/// A method that a request names beside its own.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum OtherMethod {
    /// None.
    #[default]
    None,
    /// One of these.
    Known(Vec<&'static str>),
    /// One that is not known, and may be taken for any.
    Any,
}

impl Becomes {
    /// Whether it stays what it seems.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        !self.upgrade && self.method == OtherMethod::None
    }

    /// Takes note of a method that the request names beside its own.
    pub fn name(&mut self, method: &[u8]) {
        let method = method.trim_ascii();
        if method.eq_ignore_ascii_case(CONNECT.as_bytes()) {
            // How a gateway tells of an upgrade that it could not tell otherwise.
            self.upgrade = true;
            return;
        }
        // Most applications take it in any case.
        let known = METHODS.into_iter().find(|it| method.eq_ignore_ascii_case(it.as_bytes()));
        match (&mut self.method, known) {
            (OtherMethod::Known(methods), Some(known)) => methods.push(known),
            (OtherMethod::Any, Some(_)) => {}
            (none @ OtherMethod::None, Some(known)) => *none = OtherMethod::Known(vec![known]),
            (other, None) => *other = OtherMethod::Any,
        }
    }
}

/// The method of an upgrade over HTTP/2, which is a GET over HTTP/1.
pub(super) const CONNECT: &str = "CONNECT";
const METHODS: [&str; 8] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"];
