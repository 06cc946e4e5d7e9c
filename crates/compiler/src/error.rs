//! Why a module was not compiled. All but [`CompileError::Codegen`] and [`CompileError::Threads`] are the module's (or its author's)
//! to mend.

use std::fmt;
use std::path::Path;

use thiserror::Error;

/// Why a module was not compiled: what, where, and what to do.
#[derive(Debug, Error)]
pub enum CompileError {
    /// The text format could not be read.
    #[error("not valid WebAssembly text: {0}")]
    Text(TextError),
    /// Neither text nor a binary.
    #[error("not WebAssembly: it begins with {begins}, a module with 00 61 73 6d (\\0asm)")]
    Foreign {
        /// The bytes that it begins with, and what such files are.
        begins: String,
    },
    /// An artifact.
    #[error("this is an artifact, which is compiled already: take the module that it was made from")]
    Compiled,
    /// A component.
    #[error(
        "this is a component, and modules are taken here: build it for WASI preview 1 (Rust: --target wasm32-wasip1, \
         not wasip2), or take the core module it was made from"
    )]
    Component,
    /// The binary breaks a rule of the specification.
    #[error("not valid WebAssembly{place}: {message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// Where.
        place: Place,
    },
    /// The module uses a proposal that is not supported.
    #[error("{feature} is not supported{place}: {message}; build the module without it")]
    Unsupported {
        /// The proposal.
        feature: String,
        /// What was found.
        message: String,
        /// Where.
        place: Place,
    },
    /// The module, or something in it, exceeds a limit.
    #[error("{what}{place}: {count}, more than the {max} supported; split or shrink it")]
    TooLarge {
        /// What is too large or too many.
        what: &'static str,
        /// Its size or number.
        count: u64,
        /// The most there may be.
        max: u64,
        /// Where.
        place: Place,
    },
    /// A memory starts larger than it may become.
    #[error(
        "memory {memory} starts with {min_bytes} bytes, more than the {max_bytes} it may have; raise the memory \
         maximum or shrink the module's initial memory"
    )]
    MemoryTooLarge {
        /// Its index.
        memory: u32,
        /// Its initial size.
        min_bytes: u128,
        /// The most it may have.
        max_bytes: u64,
    },
    /// A table starts larger than it may become.
    #[error(
        "table {table} starts with {min} entries, more than the {max} it may have; raise the table maximum or shrink \
         the module's initial table"
    )]
    TableTooLarge {
        /// Its index.
        table: u32,
        /// Its initial size.
        min: u64,
        /// The most it may have.
        max: u64,
    },
    /// The module's state does not fit into a context.
    #[error(transparent)]
    Layout(#[from] selvedge_contract::vmctx::LayoutError),
    /// The artifact exceeds a limit.
    #[error(transparent)]
    Artifact(#[from] selvedge_contract::artifact::WriteError),
    /// Two function types share one signature id, by an accident that never happens or by design.
    #[error("the types {first} and {second} share a signature id and cannot be told apart; change one of them")]
    SignatureClash {
        /// One type.
        first: String,
        /// The other.
        second: String,
    },
    /// A function exceeds what the code generator can take.
    #[error("the code generator cannot take a function this large{place}: {message}; split it")]
    FunctionTooLarge {
        /// What it said.
        message: String,
        /// Where.
        place: Place,
    },
    /// Not one thread could be started. The machine's, or a limit on the process.
    #[error("no thread could be started to compile on: {0}; memory or the number of threads is limited too low")]
    Threads(std::io::Error),
    /// The code generator failed: a bug in the compiler, or a limit of its own.
    #[error("no code could be generated{place}: {message}; please report this with the module")]
    Codegen {
        /// What it said.
        message: String,
        /// Where.
        place: Place,
    },
}

/// A mistake in the text format, with line, column and the line itself.
#[derive(Debug)]
pub struct TextError(pub(crate) wat::Error);

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// How the parser calls a file whose name it was not told.
        const UNNAMED: &str = "<anon>:";
        f.write_str(&self.0.to_string().replacen(UNNAMED, "the module:", 1))
    }
}

/// Where in a module something is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Offset in the WebAssembly binary.
    pub offset: Option<u64>,
    /// The function, by index and, if known, name.
    pub function: Option<(u32, String)>,
}

impl Place {
    pub(crate) fn at(offset: u64) -> Place {
        Place { offset: Some(offset), function: None }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(offset) = self.offset {
            write!(f, " at offset {offset:#x}")?;
        }
        match &self.function {
            Some((index, name)) if name.is_empty() => write!(f, " in function {index}"),
            Some((index, name)) => write!(f, " in function {index} ({name})"),
            None => Ok(()),
        }
    }
}

impl From<wasmparser::Error> for CompileError {
    fn from(error: wasmparser::Error) -> CompileError {
        CompileError::from_parser(&error, None)
    }
}

impl CompileError {
    /// The same, of a module from this file: a mistake in its text is said to be there.
    pub fn in_file(mut self, file: &Path) -> CompileError {
        if let CompileError::Text(TextError(error)) = &mut self {
            error.set_path(file);
        }
        self
    }

    pub(crate) fn from_parser(error: &wasmparser::Error, function: Option<(u32, String)>) -> CompileError {
        let place = Place { offset: Some(error.offset()), function };
        let message = error.message().to_string();
        match error.missing_wasm_feature() {
            None => CompileError::Invalid { message, place },
            Some(feature) => {
                let names: Vec<_> = feature.iter_names().map(|(name, _)| name.to_lowercase()).collect();
                CompileError::Unsupported { feature: names.join("/").replace('_', "-"), message, place }
            }
        }
    }

    /// An error if there are more than the limit.
    pub(crate) fn cap(what: &'static str, count: u64, max: usize) -> Result<(), CompileError> {
        if count <= max as u64 {
            return Ok(());
        }
        Err(CompileError::TooLarge { what, count, max: max as u64, place: Place::default() })
    }
}
