//! Packages from Debian, PyPI and npm, by their ordinary clients. Asked for again, they cost nothing.
//!
//! Debian packages go where Debian puts them, which takes root: without it the command to run is
//! printed and that is the end. The others stay below `target/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

/// Where PyPI and npm packages are installed, below the repository.
pub const DIRECTORY: &str = "target/guest-tools";

/// The installed packages of one repository.
pub struct Tools {
    directory: PathBuf,
}

impl Tools {
    /// Those below `root`'s `target/`.
    pub fn new(root: &Path) -> Tools {
        Tools { directory: root.join(DIRECTORY) }
    }

    /// Installs the Debian packages that are missing.
    pub fn apt(&self, packages: &[String]) -> Result<()> {
        let missing: Vec<&str> = packages.iter().map(String::as_str).filter(|name| !has_debian(name)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut install = vec!["apt-get", "install", "--yes", "--quiet", "--no-install-recommends"];
        install.extend(&missing);
        let line = install.join(" ");
        ensure!(is_root(), "guests and tests need Debian packages; run this, then try again:\n    sudo {line}");
        println!("installing with {line}");
        if !succeeds(Command::new("apt-get").args(&install[1..]).arg("--simulate")) {
            println!("some are unknown or moved: apt-get update first");
            run(Command::new("apt-get").args(["update", "--quiet"]))?;
        }
        run(Command::new("apt-get").args(&install[1..]).env("DEBIAN_FRONTEND", "noninteractive"))
    }

    /// Installs PyPI packages, `name==version`, into a virtual environment of our own.
    pub fn pip(&self, packages: &[String]) -> Result<()> {
        self.missing("pip", packages, |missing| {
            run(Command::new(self.python()?).args(["-m", "pip", "install", "--quiet"]).args(missing))
        })
    }

    /// Installs npm packages, `name@version`.
    pub fn npm(&self, packages: &[String]) -> Result<()> {
        self.missing("npm", packages, |missing| {
            self.need("npm")?;
            let mut npm = Command::new("npm");
            npm.args(["install", "--no-fund", "--no-audit", "--loglevel=error", "--prefix"]);
            run(npm.arg(&self.directory).args(missing))
        })
    }

    /// The virtual environment's Python, made on first use.
    pub fn python(&self) -> Result<PathBuf> {
        let environment = self.directory.join("python");
        let python = environment.join("bin/python3");
        if !succeeds(Command::new(&python).args(["-m", "pip", "--version"])) {
            if !succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"])) {
                self.apt(&["python3".into(), "python3-venv".into()])?;
            }
            println!("making a Python environment in {}", environment.display());
            run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
        }
        Ok(python)
    }

    /// Makes sure of a program whose Debian package has the same name.
    pub fn need(&self, program: &str) -> Result<()> {
        if succeeds(Command::new(program).arg("--version")) { Ok(()) } else { self.apt(&[program.into()]) }
    }

    /// Calls `install` with the packages that no earlier call installed.
    fn missing(&self, client: &str, packages: &[String], install: impl Fn(&[&str]) -> Result<()>) -> Result<()> {
        let marker = |package: &str| self.directory.join("installed").join(client).join(package.replace('/', "+"));
        let missing: Vec<&str> = packages.iter().map(String::as_str).filter(|name| !marker(name).exists()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        println!("installing with {client} into {DIRECTORY}: {}", missing.join(" "));
        install(&missing)?;
        for package in missing {
            let path = marker(package);
            fs::create_dir_all(path.parent().unwrap_or(&path)).and_then(|()| fs::write(&path, "")).with_context(
                || format!("{package} is installed, but cannot write {} to remember it", path.display()),
            )?;
        }
        Ok(())
    }
}

/// Runs a command to its end; its output goes where ours goes.
pub fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => bail!("failed with {status}: {}", line(command)),
        Err(error) => Err(error).with_context(|| format!("cannot run `{program}`: install it, or put it on the PATH")),
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

/// Whether a command can be run and succeeds; it prints nothing.
fn succeeds(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn has_debian(package: &str) -> bool {
    let query = Command::new("dpkg-query").args(["--show", "--showformat=${db:Status-Abbrev}", package]).output();
    query.is_ok_and(|output| output.stdout.starts_with(b"ii"))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout == b"0\n")
}
