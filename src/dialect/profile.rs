//! What vendors and server families want, as data: readers and writers consult it, and nothing else asks who a provider is.

/// How one provider's face differs from the plain dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Its name, as `{NAME}_PROFILE` gives it.
    pub name: &'static str,
}

impl Default for Profile {
    fn default() -> Self {
        Self { name: "plain" }
    }
}

/// Where a request goes.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// The model, as the upstream calls it.
    pub model: &'a str,
    /// How its provider's face differs.
    pub profile: &'a Profile,
}
