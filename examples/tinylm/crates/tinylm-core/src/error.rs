use std::fmt;
use std::path::Path;

pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong, in words for the user.
#[derive(Debug)]
pub enum Error {
    /// The request asks for something that cannot be: a caller's mistake.
    Request(String),
    /// Anything else: files, devices, libraries.
    Failure(String),
}

impl Error {
    pub(crate) fn file(path: &Path, problem: impl fmt::Display) -> Self {
        Error::Failure(format!("{}: {problem}", path.display()))
    }
}

/// Always a single line: what comes from parsers and compilers may have more,
/// and whoever prints an error promises one.
impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Error::Request(text) | Error::Failure(text)) = self;
        let mut separator = "";
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            write!(f, "{separator}{line}")?;
            separator = " | ";
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

impl From<cxx::Exception> for Error {
    fn from(exception: cxx::Exception) -> Self {
        Error::Failure(exception.what().to_owned())
    }
}
